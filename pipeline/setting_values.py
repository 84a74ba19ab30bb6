"""What the text of a setting means: checked, as a value of the right kind.

Owns: one function for each kind of value. A ValueError says what is wrong, to be put behind the setting's name.
Leaves to others: which setting is of which kind (``settings``).
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.identifiers import POST_COLLECTION, is_did, parse_post_uri
from sql.shards import Shard

_HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d+)?")
# What an author may say of a record (com.atproto.label.defs), of those values that apps know.
SELF_LABELS = ("porn", "sexual", "nudity", "graphic-media", "!warn", "!hide", "!no-unauthenticated")
_ENGINE = re.compile(r"(ray://)?[^\s/:]+:\d{1,5}")
_APP_POST = re.compile(r"https://[^/]+/profile/([^/]+)/post/([^/?#]+)/?(?:[?#].*)?")
_FEED_RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}")


def path(text: str) -> Path:
    """Return a path; ~ is the home directory."""
    return Path(text).expanduser()


def stream_urls(text: str) -> tuple[str, ...]:
    """Return websocket addresses, comma-separated, at least one."""
    urls = tuple(part.strip() for part in text.split(",") if part.strip())
    for url in urls:
        if not _is_url(url, "ws", "wss"):
            raise ValueError(f"{url!r} is not a ws:// or wss:// address")
    if not urls:
        raise ValueError("expected at least one ws:// or wss:// address")
    return urls


def http_url(text: str) -> str:
    """Return an address without a slash at its end."""
    if not _is_url(text, "http", "https"):
        raise ValueError("expected an http:// or https:// address")
    return text.rstrip("/")


def _is_url(text: str, *schemes: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in schemes and bool(parts.hostname)


def engine_address(text: str) -> str:
    """Return the address of a cluster, or nothing."""
    if text and not _ENGINE.fullmatch(text):
        raise ValueError("expected HOST:PORT, such as 10.0.0.5:6379, or ray://HOST:PORT")
    return text


def optional_path(text: str) -> Path | None:
    """Return a path, or None for nothing; ~ is the home directory."""
    return path(text) if text else None


def shard(text: str) -> Shard | None:
    """Return the shard that N/COUNT names, None for nothing."""
    return Shard.from_text(text) if text else None


def hostname(text: str) -> str:
    """Return a host name, with a port where it has one."""
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("expected a host name, such as feed.example.com")
    return text


def did(text: str) -> str:
    """Return a DID."""
    if not is_did(text):
        raise ValueError("expected a DID, such as did:web:feed.example.com or did:plc:…")
    return text


def feed_rkey(text: str) -> str:
    """Return a record key."""
    if not _FEED_RKEY.fullmatch(text) or text in {".", ".."}:
        raise ValueError("expected a record key: at most 15 lower-case letters, digits and '-'")
    return text


def listen(text: str) -> tuple[str, int]:
    """Return host and port."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def listen_or_off(text: str) -> tuple[str, int] | None:
    """Return host and port, None for an empty text."""
    return listen(text) if text else None


def address(host_and_port: tuple[str, int] | None) -> str:
    """Return the text that ``listen_or_off`` reads as this host and port."""
    if host_and_port is None:
        return ""
    host, port = host_and_port
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dids(text: str) -> tuple[str, ...]:
    """Return DIDs, comma-separated, each once; none for an empty text."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for one in found:
        if not is_did(one):
            raise ValueError(f"{one!r} is not a DID")
    return found


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError("must be a number above 0 and below a billion")
    return value


def threads(text: str) -> int:
    """Return a number of threads or processes."""
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise ValueError("must be a whole number from 1 to 256")
    return int(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a check for one of some words."""

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return check


def networks(text: str) -> tuple[str, ...]:
    """Return networks such as 10.0.0.0/8, comma-separated."""
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"expected addresses or networks, such as 10.0.0.0/8: {error}") from error


def self_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels that a record may have of its own, each once."""
    for label in labels:
        if label not in SELF_LABELS:
            raise ValueError(f"{label!r} is no label of a record: expected {', '.join(SELF_LABELS)}")
    return tuple(dict.fromkeys(labels))


def post_uri(text: str) -> str:
    """Return the at-uri of a post, which its address in the app may name too; the author by their DID."""
    found = _APP_POST.fullmatch(text)
    uri = text if found is None else f"at://{found[1]}/{POST_COLLECTION}/{found[2]}"
    if parse_post_uri(uri) is None:
        raise ValueError(f"expected at://DID/{POST_COLLECTION}/KEY, or https://bsky.app/profile/DID/post/KEY")
    return uri


def web_address(text: str) -> str:
    """Return an https:// address, '' for an empty text."""
    if text and not _is_url(text, "https"):
        raise ValueError("expected an https:// address")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Return origins such as https://cdn.example.com, comma-separated; none for an empty text."""
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in found:
        parts = urlsplit(origin)
        plain = f"{parts.scheme}://{parts.netloc}" == origin and re.fullmatch(
            r"[A-Za-z0-9.:\[\]-]+", parts.netloc
        )
        if not _is_url(origin, "http", "https") or not plain:
            raise ValueError(f"{origin!r} is not an origin, such as https://cdn.example.com")
    return found
