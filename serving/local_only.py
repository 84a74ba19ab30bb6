"""Whether a request was made on this machine, by a person at it.

Owns: that decision, for the pages that show whole feeds of viewers. A request counts as local when it comes
from a loopback address, no proxy says it forwarded it, and it was addressed to this machine by a loopback
name: a proxy or tunnel on this machine also connects from loopback, and a website may point a name of its own
at 127.0.0.1. A tunnel that hides all that can't be told apart; its operator turns the pages off.
"""

import falcon

from serving.config import is_loopback

_FORWARDING_HEADERS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Via",
    "CF-Connecting-IP",
    "Tailscale-User-Login",
)


def require_local(request: falcon.Request) -> None:
    """Raise 404 unless the request was made on this machine."""
    host = request.get_header("Host") or ""
    name = host[: host.find("]")].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if (
        not is_loopback(str(request.env.get("REMOTE_ADDR", "")))
        or not is_loopback(name.lower())
        or any(request.get_header(header) is not None for header in _FORWARDING_HEADERS)
    ):
        raise falcon.HTTPNotFound(description="there is nothing here")
