"""What every page is looked at for: axe-core's rules, the width, and the keyboard; and which pages there are."""

import re
import time
from typing import Any

import pytest

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="the extra 'browser' is not installed"
)

WIDTHS = (390, 1440)
SCHEMES = ("light", "dark")
# The addresses that answer with pages: those that the tests open in the demo, and those that they open signed in.
IN_DEMO = {"/", "/viewers", "/viewer/{did}", "/why", "/compare", "/dashboard", "/plots"}
SIGNED_IN = {"/sign-in", "/me", "/start", "/retention"}
FOR_PROGRAMS = re.compile(
    r"/(xrpc|\.well-known|assets|oauth)/.*|/(health|metrics|robots\.txt|favicon\.ico|me/known\.json)"
)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


UNTIL_SECONDS = 300.0
UNFINISHED = re.compile("AppView does not answer|try again in a moment|takes more than")


def serious(page: Any) -> dict[str, list[str]]:
    """Return what axe-core finds serious on a page, and where; also that it is wider than its window."""
    result = axe.Axe().run(page, options={"runOnly": TAGS, "rules": {"target-size": {"enabled": True}}})
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


def until_shown(page: Any, *shown: Any) -> None:
    """Open a page again until it shows some things: it waits little for other programs, and says less without them."""
    deadline = time.monotonic() + UNTIL_SECONDS
    while not all(each.count() for each in shown):
        assert time.monotonic() < deadline, page.locator("main").inner_text()[:1_000]
        page.reload()


def until_whole(page: Any) -> None:
    """Open a page again until it has its posts, and is not refused because others have their turn."""
    deadline = time.monotonic() + UNTIL_SECONDS
    while page.get_by_text(UNFINISHED).count():
        assert time.monotonic() < deadline, page.locator("main").inner_text()[:1_000]
        page.reload()
