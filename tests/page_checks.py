"""What every page is looked at for: axe-core's rules, the width, and the keyboard."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

WIDTHS = (390, 1440)
SCHEMES = ("light", "dark")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def serious(page: Any) -> dict[str, list[str]]:
    """Return what axe-core finds serious on a page, and where; also that it is wider than its window."""
    result = Axe().run(page, options={"runOnly": TAGS, "rules": {"target-size": {"enabled": True}}})
    found = {
        violation["id"]: [node["html"][:200] for node in violation["nodes"][:3]]
        for violation in result.response["violations"]
        if violation["impact"] in {"serious", "critical"}
    }
    width = page.evaluate("document.documentElement.scrollWidth")
    return found | ({"too wide": [str(width)]} if width > page.viewport_size["width"] else {})


def tab_to(page: Any, matches: str, most: int = 60) -> None:
    """Press Tab until the focus is where a function of the focused element says; it must be visible there."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"(({matches}))(document.activeElement)"):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", "the focus can't be seen"
            return
    raise AssertionError(f"Tab never comes to {matches}")
