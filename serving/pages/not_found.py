"""Errors for people: a page for a browser, and the usual XRPC error for everything else.

Owns: who gets which, and the page's words. Leaves to others: XRPC errors (``xrpc``), the page's form (``html``).
"""

from collections.abc import Callable

import falcon

from serving.config import ServingConfig
from serving.http.clients import is_local
from serving.pages.html import show

Form = Callable[[falcon.Request, falcon.Response, falcon.HTTPError], None]
_WORDS = {
    "400": ("This address is not complete", "Part of it can't be read."),
    "404": (
        "There is nothing here",
        "This page does not exist, or it is only for the person who runs this feed.",
    ),
    "405": ("This address takes other requests", "A browser has nothing to do here."),
    "503": ("Just a moment", "This can't be shown just now. Try again soon."),
}


def error_form(config: ServingConfig, xrpc_form: Form) -> Form:
    """Return the function that gives errors their form: a page where a browser asks for one."""

    def form(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
        status = falcon.code_to_http_status(error.status)
        title, text = _WORDS.get(
            status[:3], ("Something went wrong", "The operator can read more in the log.")
        )
        if request.path.startswith("/xrpc/") or "text/html" not in (request.get_header("Accept") or ""):
            xrpc_form(request, response, error)
            return
        show(
            response,
            "error.html",
            config,
            here=is_local(request, config),
            title=title,
            text=text,
            reason=error.description or "",
        )

    return form
