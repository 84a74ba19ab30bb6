"""Somebody without likes signs in, picks where to begin, and looks after what is theirs, in a real browser."""

from collections.abc import Callable
from typing import Any

import pytest
from page_checks import SCHEMES, WIDTHS, serious, tab_to
from picking_reader import Running

LOOKS = [(width, scheme) for width in WIDTHS for scheme in SCHEMES]
Open = Callable[..., Any]
Keep = Callable[[Any, str], None]


def _sign_in(page: Any, feed: Running) -> None:
    page.goto("/sign-in")
    page.get_by_label("Handle").fill(feed.reader)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="Agree").click()  # at the server of the account
    page.get_by_role("heading", name="Your feed", exact=True).wait_for()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_picking_where_to_begin(
    open_public: Open, keep_picture: Keep, feed: Running, width: int, scheme: str
) -> None:
    """Home, sign in, pick two boxes and a post, a list of one's own, why, all taken back, sign out; axe on each."""
    found = {}

    def look(name: str) -> None:
        found.update({f"{name}: {what}": where for what, where in serious(page).items()})
        keep_picture(page, f"own-{name}-{width}-{scheme}")

    page = open_public("/", width=width, scheme=scheme)
    look("home")
    page.get_by_role("link", name="Pick where to begin").click()
    page.get_by_role("heading", name="Sign in with your account").wait_for()
    look("sign-in")
    _sign_in(page, feed)
    if page.get_by_role("button", name="Take all picks back").count():  # of a test that failed
        page.get_by_role("button", name="Take all picks back").click()
    look("me")
    page.get_by_role("link", name="Pick some posts to begin with").click()
    page.get_by_role("heading", name="What would you like?").wait_for()
    assert page.locator("fieldset").count() >= 5
    assert page.locator("article.post .text").first.inner_text()
    look("start")
    page.locator("fieldset .all input").nth(0).check()
    page.locator("fieldset .all input").nth(1).check()
    page.locator("fieldset input[name=post]").last.check()
    keep_picture(page, f"own-start-picked-{width}-{scheme}")
    page.get_by_role("button", name="Make my list").click()
    page.get_by_text("You picked").first.wait_for()
    while not page.get_by_text("Your list is ready").count():
        page.reload()
    page.get_by_text("What you picked").click()
    assert page.locator("#picked ~ details article.post").count() > 5
    look("picked")
    page.get_by_role("link", name="Why these posts?").last.click()
    while not page.get_by_text("because you picked").count():  # after the next run for everybody
        page.reload()
    look("why")
    page.goto("/retention")
    look("retention")
    page.goto("/me")
    page.get_by_role("button", name="Take all picks back").click()
    page.get_by_text("Few likes yet?").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="People who liked").wait_for()
    page.goto("/me")
    page.get_by_role("heading", name="Sign in with your account").wait_for()
    assert found == {}


def test_the_keyboard_alone_and_no_script_are_enough(open_public: Open, feed: Running) -> None:
    page = open_public("/start", width=390, script=False)
    tab_to_text(page, "account")
    page.keyboard.type(feed.reader)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Agree").click()
    page.get_by_role("heading", name="Your feed", exact=True).wait_for()
    page.goto("/start")
    page.locator("fieldset .all input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_text("You picked").first.wait_for()
    page.get_by_role("button", name="Take all picks back").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Few likes yet?").wait_for()


def tab_to_text(page: Any, name: str) -> None:
    """Press Tab until a field has the focus; there is no script to ask, so the page itself is."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(f"#{name}:focus").count():
            return
    raise AssertionError(f"Tab never comes to {name}")


def test_what_is_set_and_deleted(open_public: Open, feed: Running) -> None:
    page = open_public("/", width=1440)
    _sign_in(page, feed)
    page.get_by_label("Posts that I have seen come").select_option("hidden")
    page.get_by_label("Show posts in these languages").fill("en, de")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_label("Show posts in these languages").input_value() == "en, de"
    tab_to(page, "e => e.name === 'paused'")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_label("Pause").is_checked()
    page.get_by_label("Yes, everything").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="People who liked").wait_for()
    _sign_in(page, feed)
    assert page.get_by_label("Show posts in these languages").input_value() == ""
