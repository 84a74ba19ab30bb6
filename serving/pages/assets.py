"""GET /assets/<name>: the style, the script and the icon of the pages.

Owns: those files and their addresses. Leaves to others: what is in them (``assets``). They come with the package, so a
page needs nothing from anybody else; the address has a hash of the contents, so browsers keep them for a year.
"""

import hashlib
from functools import cache
from importlib.resources import files

import falcon

_KINDS = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "preview.png": "image/png",
}


@cache
def contents(name: str) -> bytes:
    """Return a file's bytes."""
    return (files("serving.pages") / "assets" / name).read_bytes()


@cache
def address(name: str) -> str:
    """Return where a file is, until its contents change."""
    return f"/assets/{name}?v={hashlib.sha256(contents(name)).hexdigest()[:12]}"


class Assets:
    """The files."""

    def on_get(self, _request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Answer a file."""
        if name not in _KINDS:
            raise falcon.HTTPNotFound(description="there is nothing here")
        response.data = contents(name)
        response.content_type = _KINDS[name]
        response.set_header("Cache-Control", "public, max-age=31536000, immutable")
        response.set_header("X-Content-Type-Options", "nosniff")


class Favicon:
    """GET /favicon.ico: the icon, for browsers that look there."""

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Answer the icon."""
        response.data = contents("icon.svg")
        response.content_type = _KINDS["icon.svg"]
        response.set_header("Cache-Control", "public, max-age=86400")
