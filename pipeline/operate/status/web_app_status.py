"""What the running web app reports: whether it is healthy, and how many feed pages it answers how fast.

Owns: reading /health at this installation's own addresses. Leaves to others: what the figures mean (``lines``). A
web app that does not answer is None.
"""

from typing import Any

import httpx
import orjson

TIMEOUT_SECONDS = 2.0


def web_app_figures(address: str, pages: str) -> dict[str, Any] | None:
    """Return {ok, reason, pages}; None without an answer.

    ``pages`` is what the address of the operator's pages says of the last minutes, None when that does not answer.
    """
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            health = _health(client, address)
        except httpx.HTTPError:
            return None
        if health is None:
            return {"ok": False, "reason": f"another program answers at {address}", "pages": None}
        try:
            recent = (_health(client, pages) or {}).get("pages")
        except httpx.HTTPError:
            recent = None
    return {"ok": bool(health["ok"]), "reason": health.get("reason"), "pages": recent}


def _health(client: httpx.Client, address: str) -> dict[str, Any] | None:
    """Return what /health says there, None when that is not our web app."""
    try:
        state = orjson.loads(client.get(f"{address}/health").content)
    except ValueError:
        return None
    return state if isinstance(state, dict) and "ok" in state else None
