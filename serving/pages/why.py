"""GET /why: why somebody's list is as it is, and what other parameters would make of it.

Owns: the page, its form and its words, and who may see what: this machine alone, or with ``pages`` = "public"
everybody, who then see what follows from public likes and nothing that only this installation knows. Leaves to
others: handles (``handles``), the answer (``explainer``), the page's form (``html``).
"""

import re
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

import falcon

from serving.config import ServingConfig
from serving.feed.get_feed_skeleton import parameter
from serving.http.clients import is_local, require_local
from serving.identity.handles import HandleError, Handles
from serving.pages.explainer import Explainer, ExplainingError
from serving.pages.html import age_text, fragment, show

_TYPED_MAX = 300
LEAST_SHOWN = 0.005  # of a post's similarity
OPEN_POSTS = 2  # whose reasons are shown unasked, so that it is seen that there are some
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
# What can be moved: name, label, least, most, step.
KNOBS = (
    ("half_life_hours", "Hours after which a post counts half", "0.5", "960", "0.5"),
    ("like_decay_hours", "Hours after which a like counts half", "0.1", "96", "0.1"),
    ("crowd_weight", "How much counts what is popular now", "0", "10", "0.1"),
    ("left_out_weight", "The same, for the many who share little with you", "0", "10", "0.1"),
    ("popularity_exponent", "How much popular posts are held back", "0", "2", "0.05"),
    ("max_neighbours", "People whose likes count, closest first", "1", "20000", "1"),
    ("max_per_author", "Posts of one author", "1", "100", "1"),
)


@dataclass(slots=True)
class Why:
    """The page."""

    config: ServingConfig
    explainer: Explainer
    handles: Handles

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the form, and with ``viewer`` their list; what goes wrong is said in the page."""
        local = is_local(request, self.config)
        if self.config.pages != "public":
            require_local(request, self.config)
        typed = (parameter(request, "viewer") or "").strip()[:_TYPED_MAX]
        given = {name: (parameter(request, name) or "").strip() for name, *_ in KNOBS}
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
        body = fragment(
            "why",
            viewer=escape(typed),
            knobs="" if found is None else _knobs(found, given),
            note=f'<p class="note">{escape(note[:1].upper() + note[1:])}.</p>' if note else "",
            list="" if found is None else _list(found),
        )
        show(response, "Why is my feed as it is?", body)


def _number(name: str, text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ExplainingError(f"{name} is no number")
    return float(text)


def _knobs(found: dict[str, Any], given: dict[str, str]) -> str:
    parts = []
    for name, label, least, most, step in KNOBS:
        usual = found["usual"][name]
        parts.append(
            fragment(
                "knob",
                field=name,
                label=escape(label),
                least=least,
                most=most,
                step=step,
                value=escape(given[name] or f"{usual:g}"),
                usual=f"{usual:g}",
            )
        )
    reset = escape(f"/why?viewer={quote(found['viewer'], safe=':')}")
    return fragment("knobs", knobs="".join(parts), reset=reset)


def _list(found: dict[str, Any]) -> str:
    posts = "".join(_post(place, post, found) for place, post in enumerate(found["posts"], 1))
    if not posts:
        text = "There is no list: nobody with the same taste has been found yet, so what is popular is shown."
        return f'<p class="note">{text}</p>'
    profile = escape(_profile(found["viewer"]))
    changed = [name for name, value in found["parameters"].items() if value != found["usual"][name]]
    return fragment(
        "why_list",
        profile=profile,
        viewer=escape(found["viewer"]),
        summary=escape(
            f"{found['length']:,} posts, from the likes of {found['neighbours']:,} people; the first "
            f"{len(found['posts'])}" + (", as other parameters make it" if changed else "")
        ),
        posts=posts,
    )


def _post(place: int, post: dict[str, Any], found: dict[str, Any]) -> str:
    if post["source"] != "popular":
        age = age_text(post["age_hours"] * 3600)
        facts = (
            f"<span>liked by {post['co_likers']:,} of them</span> <span>{age} old</span> "
            f"<span>{_count(post['likers'], 'like')}</span>"
        )
    else:
        facts = "<span>popular now; no taste in it</span>"
    reasons = "".join(_reason(reason) for reason in post.get("because", []))
    if reasons and post.get("crowd_share", 0.0) >= LEAST_SHOWN:
        reasons += fragment("reason_crowd", share=f"{post['crowd_share']:.0%}")
    return fragment(
        "why_post",
        place=str(place),
        moved=_moved(place, post, found),
        link=escape(_link(post["post_uri"])),
        profile=escape(_profile(post["post_uri"].split("/")[2])),
        author=escape(_short(post["post_uri"].split("/")[2])),
        facts=facts,
        reasons=fragment("reasons", reasons=reasons, open=" open" if place <= OPEN_POSTS else "")
        if reasons
        else "",
    )


def _moved(place: int, post: dict[str, Any], found: dict[str, Any]) -> str:
    if found["public"] or found["parameters"] == found["usual"]:
        return ""
    was = post["was"]
    if was is None:
        return '<span class="moved">new</span>'
    if was == place:
        return ""
    return f'<span class="moved">{"▲" if was > place else "▼"} {abs(was - place)}</span>'


def _reason(reason: dict[str, Any]) -> str:
    links = ", ".join(f'<a href="{escape(_link(uri))}" rel="noreferrer">this</a>' for uri in reason["posts"])
    when = f"{age_text(reason['like_age_hours'] * 3600)} ago"
    also = f"You both liked {_count(reason['shared'], 'post')}" + (
        f", for instance {links}." if links else "."
    )
    return fragment(
        "reason",
        share=f"{reason['share']:.0%}",
        profile=escape(_profile(reason["did"])),
        did=escape(_short(reason["did"])),
        when=when,
        also=also,
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _profile(did: str) -> str:
    return f"https://bsky.app/profile/{quote(did, safe=':')}"


def _link(uri: str) -> str:
    author, _, rest = uri.removeprefix("at://").partition("/")
    return f"{_profile(author)}/post/{quote(rest.rpartition('/')[2])}"


def _short(did: str) -> str:
    return did if len(did) <= 22 else did[:18] + "…"
