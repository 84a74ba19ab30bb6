"""GET /why and GET /compare: why a list is as it is, what another recipe makes of it, and two lists side by side.

Owns: the two pages, and who may see what. With ``pages`` = "local" they answer this machine alone. With "public" they
answer everybody, and show others what follows from public likes and nothing that only this installation knows.
Whoever is signed in sees what else made their own list: their picks, and parameters of their own. Leaves to others:
the recipe's words (``recipe``), handles (``handles``), the lists (``explainer``), posts (``appview``).

``part=result`` answers what the script puts in the place of a page's list, without the rest of the page.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import falcon

from serving.config import ServingConfig
from serving.http.clients import client_address, is_local, require_local
from serving.http.xrpc import parameter
from serving.identity.handles import HandleError, Handles
from serving.pages.appview import AppViewReader, Described
from serving.pages.explainer import Explainer, ExplainingError
from serving.pages.html import show
from serving.pages.recipe import (
    CHOICES,
    DAY,
    Menu,
    RecipeError,
    Slider,
    menus_of,
    read_day,
    read_recipe,
    sliders_of,
)
from serving.sign_in.browser_sessions import BrowserSessions

_TYPED_MAX = 300
LEAST_SHOWN = 0.005  # share of a post's score
OPEN_POSTS = 2  # how many show their reasons unasked, so that people see that there are some
SMALL_POSTS = 1  # how many reasons of a post show what is shared as a post, not as a link
List = dict[str, Any]


@dataclass(slots=True)
class _Pages:
    config: ServingConfig
    explainer: Explainer
    handles: Handles
    appview: AppViewReader
    now: Callable[[], float]
    sessions: BrowserSessions | None

    def list_of(self, request: falcon.Request, typed: str, changes: dict[str, float | str]) -> List:
        """Return a person's list with reasons; raise HandleError or ExplainingError."""
        here = is_local(request, self.config)
        client = "" if here else client_address(request, self.config.trusted_proxies)
        did = typed
        if not typed.startswith("did:"):  # it may take a while
            with self.explainer.place(client):
                did = self.handles.did_of(typed)
        did = self.handles.did_of(did)
        public = not here and not self.is_own(request, did)
        return self.explainer.why(did, changes, client=client, public=public)

    def is_own(self, request: falcon.Request, did: str) -> bool:
        """Tell whether a list is that of who is signed in, who may see what else is known of them."""
        session = self.sessions.of(request) if self.sessions else None
        return session is not None and session.did == did

    def describe(self, request: falcon.Request, uris: list[str], dids: list[str]) -> Described:
        """Return what is known of the posts and people of a page."""
        return self.appview.describe(uris, dids, here=is_local(request, self.config))

    def require_access(self, request: falcon.Request) -> None:
        if self.config.pages != "public":
            require_local(request, self.config)


class WhyPage(_Pages):
    """The page of one list."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the form, and with ``viewer`` their list; the page itself says what went wrong."""
        self.require_access(request)
        typed = _typed(request, "viewer")
        found: List | None = None
        usual: List | None = None
        note, described, changed = "", Described(), False
        side = parameter(request, "side") == "1"
        if typed:
            try:
                changes = read_recipe(request)
                found = self.list_of(request, typed, changes)
                changed = found["parameters"] != found["usual"]
                if changed:
                    usual = self.list_of(request, found["viewer"], {})
                described = self.describe(request, *_wanted(found, usual if side else None, side=side))
            except (HandleError, RecipeError, ExplainingError) as error:
                note, response.status = _problem(error)
        moves = _moves(found, usual) if found and usual else {}
        show(
            response,
            "why_result.html" if found and parameter(request, "part") == "result" else "why.html",
            self.config,
            here=is_local(request, self.config),
            mine=found is not None and self.is_own(request, found["viewer"]),
            now=self.now(),
            typed=typed,
            note=note,
            found=found
            and found | {"posts": [post | {"move": moves.get(post["post_uri"])} for post in found["posts"]]},
            usual=usual,
            changed=changed,
            fresh=sum(move == "new" for move in moves.values()),
            moved_count=sum(move != "new" for move in moves.values()),
            staying={post["post_uri"] for post in found["posts"]} if found else set(),
            side=side,
            sliders=sliders_of(found["parameters"], found["usual"]) if found else [],
            menus=menus_of(found["parameters"], found["usual"]) if found else [],
            described=described,
            least_shown=LEAST_SHOWN,
            open_posts=OPEN_POSTS,
            small_posts=SMALL_POSTS,
        )


@dataclass(slots=True)
class Side:
    """One of two lists that are compared."""

    key: str
    title: str
    typed: str
    found: List | None = None
    changed: bool = False
    day: str = "now"  # of which the list is, in words
    sliders: list[Slider] = field(default_factory=list)
    menus: list[Menu] = field(default_factory=list)


class ComparePage(_Pages):
    """The page of two lists: of two people, of one by two recipes, or of now and of a day before."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the form, and with ``a`` and ``b`` their lists; parameters of a recipe begin with a_ or b_."""
        self.require_access(request)
        sides = [Side(key, title, _typed(request, key)) for key, title in (("a", "Left"), ("b", "Right"))]
        note, described = "", Described()
        try:
            for side in sides:
                prefix = f"{side.key}_"
                changes = read_recipe(request, prefix) | read_day(request, prefix)
                if side.typed:
                    side.found = self.list_of(request, side.typed, changes)
                    side.changed = side.found["parameters"] != side.found["usual"]
                    day = str(side.found["parameters"][DAY.name])
                    side.day = dict(DAY.options).get(day, day)
                    side.sliders = sliders_of(side.found["parameters"], side.found["usual"])
                    choices = CHOICES if side.found["public"] else (DAY, *CHOICES)
                    side.menus = menus_of(side.found["parameters"], side.found["usual"], choices)
            both = [side.found for side in sides if side.found]
            if len(both) == 2:
                uris = [post["post_uri"] for found in both for post in found["posts"]]
                described = self.describe(request, uris, [found["viewer"] for found in both])
        except (HandleError, RecipeError, ExplainingError) as error:
            note, response.status = _problem(error)
            both = []
        shown = [{post["post_uri"] for post in found["posts"]} for found in both]
        show(
            response,
            "compare_result.html" if parameter(request, "part") == "result" else "compare.html",
            self.config,
            here=is_local(request, self.config),
            now=self.now(),
            sides=sides,
            note=note,
            both=len(both) == 2,
            common=shown[0] & shown[1] if len(shown) == 2 else set(),
            shown=max(map(len, shown), default=0),
            described=described,
        )


def _typed(request: falcon.Request, name: str) -> str:
    return (parameter(request, name) or "").strip()[:_TYPED_MAX]


def _problem(error: Exception) -> tuple[str, str]:
    """Return what a page says of an error, and its status."""
    text = str(error)
    busy = isinstance(error, ExplainingError) and error.busy
    return text[:1].upper() + text[1:], falcon.HTTP_503 if busy else falcon.HTTP_404


def _wanted(found: List, usual: List | None, *, side: bool) -> tuple[list[str], list[str]]:
    """Return the posts and the people that a page shows."""
    lists = [found, *([usual] if usual else [])]
    uris = [post["post_uri"] for each in lists for post in each["posts"]]
    people = [found["viewer"]]
    if side:
        return uris, people
    for post in found["posts"]:
        people += [reason["did"] for reason in post["because"]]
        uris += [uri for reason in post["because"][:SMALL_POSTS] for uri in reason["posts"][:1]]
    return uris, people


def _moves(found: List, usual: List) -> dict[str, int | str]:
    """Return how many places each post went up, or "new", of those that moved against the usual list."""
    before = {post["post_uri"]: place for place, post in enumerate(usual["posts"])}
    moves: dict[str, int | str] = {}
    for place, post in enumerate(found["posts"]):
        was = before.get(post["post_uri"])
        if was != place:
            moves[post["post_uri"]] = "new" if was is None else was - place
    return moves
