"""Who sends a request: the client's address, and whether the client is on this machine.

Owns: which forwarding headers are believed, and that decision. Leaves to others: what depends on it.

Forwarding headers are believed from the configured proxies alone. In a chain of addresses, the last one that is not
such a proxy's counts; what stands before it is the client's own claim. A request is local when it came in at the
address of the operator's pages, which nothing forwards to, comes from this machine, has no forwarding header, and
names a loopback name or this machine's address as its Host. All four are needed: a plain TCP forwarder to the feed's
address connects from here and adds no header, and a website may point a name of its own at 127.0.0.1.
"""

import ipaddress
from functools import lru_cache

import falcon

from serving.config import ServingConfig, is_loopback

PAGES_LISTENER = "foryou.pages"  # in the environment of requests that came in at the address of the pages
FORWARDING_HEADERS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Via",
    "CF-Connecting-IP",
    "Tailscale-User-Login",
)


def peer_address(request: falcon.Request) -> str:
    """Return the address at the other end of the connection."""
    return str(request.env.get("REMOTE_ADDR", ""))


def is_trusted(address: str, proxies: tuple[str, ...]) -> bool:
    """Tell whether an address is one of the configured proxies or in one of their networks."""
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(wanted in network for network in _networks(proxies))


def client_address(request: falcon.Request, proxies: tuple[str, ...]) -> str:
    """Return the client's address: the connection's, or the one that a configured proxy names."""
    address = peer_address(request)
    if not proxies or not is_trusted(address, proxies):
        return address
    for part in reversed((request.get_header("X-Forwarded-For") or "").split(",")):
        try:
            address = str(ipaddress.ip_address(part.strip()))
        except ValueError:
            break
        if not is_trusted(address, proxies):
            break
    return address


def is_local(request: falcon.Request, config: ServingConfig) -> bool:
    """Tell whether a request was made on this machine."""
    if request.env.get(PAGES_LISTENER) is not True or config.pages_listen is None:
        return False
    own = config.pages_listen[0]
    host = request.get_header("Host") or ""
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    peer = peer_address(request)
    return (
        (is_loopback(peer) or peer == own)
        and (is_loopback(name.lower()) or name == own)
        and not any(request.get_header(header) is not None for header in FORWARDING_HEADERS)
    )


def require_local(request: falcon.Request, config: ServingConfig) -> None:
    """Raise 404 unless the request was made on this machine."""
    if not is_local(request, config):
        raise falcon.HTTPNotFound(description="there is nothing here")


@lru_cache(maxsize=8)
def _networks(proxies: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in proxies)
