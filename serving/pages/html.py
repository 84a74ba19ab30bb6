"""The form of the pages for people: pieces of HTML, the frame around them, and a few words and numbers.

Owns: filling templates, the headers of a page, and how ages are written. Leaves to others: what the pages
say. Every value that goes into a template is HTML already: whoever brings it has escaped it. Pages load
nothing and run no script.
"""

from functools import cache
from html import escape
from importlib.resources import files
from string import Template

import falcon

_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def age_text(seconds: float) -> str:
    """Return an age in the largest unit that fits: ``40 s``, ``5 min``, ``3 h``, ``2 d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def fragment(name: str, **values: str) -> str:
    """Return a piece of HTML with its places filled; the values are HTML already."""
    return _template(name).substitute(values)


def show(response: falcon.Response, title: str, body: str, *, seconds: int = 0) -> None:
    """Set a whole page; anybody may keep it for some seconds, 0 for not at all."""
    response.content_type = "text/html; charset=utf-8"
    response.text = fragment("page", title=escape(title), body=body, style=_style())
    response.set_header("Cache-Control", f"public, max-age={seconds}" if seconds else "private, no-store")
    for name, value in _SECURITY.items():
        response.set_header(name, value)


@cache
def _template(name: str) -> Template:
    return Template(files(__package__).joinpath(f"templates/{name}.html").read_text(encoding="utf-8"))


@cache
def _style() -> str:
    return files(__package__).joinpath("templates/style.css").read_text(encoding="utf-8")
