"""Which requests go through a proxy that the environment names (HTTPS_PROXY and its kin).

Owns: the one rule. The libraries for HTTP and websockets read the usual variables. This machine itself is never reached
through a proxy, whose loopback is another machine's. Leaves to others: what strangers name, their DID documents and
repositories. There every address is checked before it is connected to, so no proxy can be used
(``serving.identity.fetch``).
"""

from collections.abc import MutableMapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Which variables count for an address, as httpx and websockets have it.
_KINDS = {"wss": ("wss", "socks", "https"), "ws": ("ws", "socks", "https", "http")}


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Add this machine's own names to those that the environment excepts; child processes inherit them."""
    named = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    names = [name.strip() for name in named.split(",") if name.strip()]
    joined = ",".join([*names, *(name for name in LOOPBACK if name not in names)])
    environment["no_proxy"] = environment["NO_PROXY"] = joined


def proxy_for(url: str) -> str | None:
    """Return the proxy through which an address is reached, None without one."""
    parts = urlsplit(url)
    proxies = getproxies()
    named = next(
        (proxies[kind] for kind in _KINDS.get(parts.scheme, (parts.scheme,)) if kind in proxies), None
    )
    found = named or proxies.get("all")
    return None if found is None or proxy_bypass(parts.hostname or "") else found
