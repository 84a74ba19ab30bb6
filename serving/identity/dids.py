"""DIDs that may sign requests, and where their documents are.

Owns: the strict syntax of did:plc and did:web, and the address of a document. Leaves to others: fetching
(``fetch``), and what the document says (``keys``).

Whoever makes a token chooses its did:web, so the syntax is the first wall: a plain lower-case host name with a dot
in it, never an address, a path, a port or a user.
"""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_PLC = re.compile(r"did:plc:[a-z2-7]{24}", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label has a letter in it, so an IPv4 address does not pass as a host name.
_WEB = re.compile(rf"did:web:(?=.{{1,253}}\Z)((?:{_LABEL}\.)+(?=[a-z0-9-]*[a-z])(?:{_LABEL}))", re.ASCII)
_WEB_LOOPBACK = re.compile(r"did:web:localhost%3[Aa]([1-9][0-9]{0,4})", re.ASCII)


class HttpTarget(NamedTuple):
    """What to GET: scheme, host name (without brackets), port and path."""

    scheme: str
    host: str
    port: int
    path: str


def target_below(base_url: str, path: str) -> HttpTarget:
    """Return the target of a path below a configured URL; the port is the scheme's unless the URL names one."""
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return HttpTarget(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/") + path)


def is_signer(did: object, *, loopback: bool = False) -> bool:
    """Tell whether a DID's document can be fetched; ``loopback`` allows did:web:localhost%3APORT."""
    if not isinstance(did, str):
        return False
    if _PLC.fullmatch(did) or _WEB.fullmatch(did):
        return True
    return loopback and _loopback_port(did) is not None


def is_web(did: str) -> bool:
    """Tell whether a DID names a host that its owner chose."""
    return did.startswith("did:web:")


def plc_target(directory_url: str, did: str) -> HttpTarget:
    """Return where the directory has the document of a did:plc."""
    return target_below(directory_url, f"/{did}")


def web_target(did: str) -> HttpTarget:
    """Return where the document of a did:web is: https on 443, or plain http for localhost.

    Raises ValueError when the DID does not have the syntax that ``is_signer`` checks.
    """
    match = _WEB.fullmatch(did)
    if match is not None:
        return HttpTarget("https", match[1], 443, "/.well-known/did.json")
    port = _loopback_port(did)
    if port is None:
        raise ValueError(f"not a did:web that can be fetched: {did[:64]!r}")
    return HttpTarget("http", "localhost", port, "/.well-known/did.json")


def _loopback_port(did: str) -> int | None:
    match = _WEB_LOOPBACK.fullmatch(did)
    port = int(match[1]) if match else 0
    return port if 0 < port < 65536 else None
