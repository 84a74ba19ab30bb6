"""GET /why: why somebody's list is as it is, and what other parameters would make of it.

Owns: the page, its form, and who may see what. With ``pages`` = "local" it answers this machine alone. With
"public" it answers everybody, and shows others what follows from public likes and nothing that only this
installation knows. Leaves to others: handles (``handles``), the answer (``explainer``), the page's form (``html``).
"""

import re
from dataclasses import dataclass
from typing import Any

import falcon

from serving.config import ServingConfig
from serving.http.clients import is_local, require_local
from serving.http.xrpc import parameter
from serving.identity.handles import HandleError, Handles
from serving.pages.explainer import Explainer, ExplainingError
from serving.pages.html import show

_TYPED_MAX = 300
LEAST_SHOWN = 0.005  # share of a post's score
OPEN_POSTS = 2  # how many show their reasons unasked, so that people see that there are some
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
# What people may change: parameter, label, hint, least, most, step.
RECIPE = (
    ("half_life_hours", "Prefer newer posts", "hours until a post counts half", "0.5", "960", "0.5"),
    ("like_decay_hours", "Prefer newer likes", "hours until a like counts half", "0.1", "96", "0.1"),
    ("crowd_weight", "Popular posts", "weight of what is popular now", "0", "10", "0.1"),
    ("left_out_weight", "Distant tastes", "weight of people who share little with you", "0", "10", "0.1"),
    ("popularity_exponent", "Hold back popular posts", "0 is off", "0", "2", "0.05"),
    ("max_neighbours", "People whose likes count", "the closest ones first", "1", "20000", "1"),
    ("max_per_author", "Posts per author", "at most", "1", "100", "1"),
)


@dataclass(slots=True)
class WhyPage:
    """The page."""

    config: ServingConfig
    explainer: Explainer
    handles: Handles

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the form, and with ``viewer`` their list; the page itself says what went wrong."""
        local = is_local(request, self.config)
        if self.config.pages != "public":
            require_local(request, self.config)
        typed = (parameter(request, "viewer") or "").strip()[:_TYPED_MAX]
        given = {name: (parameter(request, name) or "").strip() for name, *_ in RECIPE}
        found: dict[str, Any] | None = None
        note = ""
        if typed:
            try:
                changes = {name: _number(name, text) for name, text in given.items() if text}
                with self.explainer.place():
                    found = self.explainer.why(self.handles.did_of(typed), changes, public=not local)
            except HandleError as error:
                note, response.status = str(error), falcon.HTTP_404
            except ExplainingError as error:
                note = str(error)
                response.status = falcon.HTTP_503 if error.busy else falcon.HTTP_404
        show(
            response,
            "why.html",
            typed=typed,
            given=given,
            note=note[:1].upper() + note[1:],
            recipe=RECIPE,
            found=found,
            least_shown=LEAST_SHOWN,
            open_posts=OPEN_POSTS,
        )


def _number(name: str, text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ExplainingError(f"{name} must be a number")
    return float(text)
