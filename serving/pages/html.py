"""The form of the pages for people.

Owns: filling a template, the headers of a page, and how ages, numbers and addresses are written. Leaves to others:
what the pages say (``templates``) and what they show (the other modules here).

Invariants: every value is escaped unless a template says otherwise, and none does. A value that a template needs
and does not get is an error. Pages load and run what this service has under /assets, and pictures of the operator's
image hosts; a browser refuses everything else.
"""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import falcon

from serving.config import ServingConfig
from serving.pages.assets import address

if TYPE_CHECKING:
    from jinja2 import Environment

_SECURITY = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src {pictures}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def show(
    response: falcon.Response,
    template: str,
    config: ServingConfig,
    *,
    here: bool = False,
    seconds: int = 0,
    **values: Any,
) -> None:
    """Set a whole page; caches may keep it for some seconds, 0 for not at all.

    ``here`` says that the reader is at this machine.
    """
    response.content_type = "text/html; charset=utf-8"
    hosts = config.image_hosts if config.page_posts else ()
    response.text = (
        pages()
        .get_template(template)
        .render(values, app=config.app_url, site=config.hostname, links=_links(config, here))
    )
    response.set_header("Cache-Control", f"public, max-age={seconds}" if seconds else "private, no-store")
    response.set_header("Content-Security-Policy", _POLICY.format(pictures=" ".join(("'self'", *hosts))))
    for name, value in _SECURITY.items():
        response.set_header(name, value)


def show_form(response: falcon.Response, template: str, config: ServingConfig, **values: Any) -> None:
    """Set a page with a form, whose answer must say that it comes from a page of ours."""
    show(response, template, config, **values)
    response.set_header("Referrer-Policy", "same-origin")  # else browsers hide where a form comes from


def go(response: falcon.Response, address: str) -> None:
    """Send the browser to a page of ours, after a form that it sent."""
    response.status = falcon.HTTP_303
    response.set_header("Location", address)
    response.set_header("Cache-Control", "private, no-store")


def _links(config: ServingConfig, here: bool) -> list[tuple[str, str]]:
    """Return the pages that the reader may see, as addresses and names."""
    links = []
    if config.explain and (here or config.pages == "public"):
        links += [("/why", "Why these posts?"), ("/compare", "Compare")]
    if config.pages == "public":
        links.append(("/me", "Your feed"))
    if here:
        links += [("/viewers", "Viewers"), ("/plots", "Plots"), ("/dashboard", "Dashboard")]
    return links


def age_text(seconds: float) -> str:
    """Return an age in the largest unit that fits: ``40 s``, ``5 min``, ``3 h``, ``2 d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 like``, ``2,000 likes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def author_of(post_uri: str) -> str:
    """Return the DID in a post's at-uri."""
    return post_uri.removeprefix("at://").partition("/")[0]


def rkey_of(post_uri: str) -> str:
    """Return the record key in a post's at-uri."""
    return post_uri.removeprefix("at://").partition("/")[2].rpartition("/")[2]


def in_url(text: str) -> str:
    """Return a text as a part of an address, the way DIDs are usually written there."""
    return quote(text, safe=":")


def profile_url(did: str, app_url: str) -> str:
    """Return where an app shows an account."""
    return f"{app_url}/profile/{in_url(did)}"


def post_url(post_uri: str, app_url: str) -> str:
    """Return where an app shows a post."""
    return f"{profile_url(author_of(post_uri), app_url)}/post/{in_url(rkey_of(post_uri))}"


def compact(number: int) -> str:
    """Return a number as cards show it: ``999``, ``1.2k``, ``3M``."""
    for unit, length in (("M", 1_000_000), ("k", 1_000)):
        if number >= length:
            return f"{number / length:.1f}".removesuffix(".0") + unit
    return str(number)


def iso_time(seconds: float) -> str:
    """Return a time for machines."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


@cache
def pages() -> "Environment":
    """Return the templates."""
    from jinja2 import (  # 20 ms that only a worker with pages to show takes
        Environment,
        PackageLoader,
        StrictUndefined,
    )

    environment = Environment(
        loader=PackageLoader("serving.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters = age_text, author_of, compact, counted, in_url, iso_time, post_url, profile_url, rkey_of
    environment.filters |= {each.__name__: each for each in filters}
    environment.globals["asset"] = address
    return environment
