"""What the text of a setting means: one function a kind of value.

Owns: turning a text into a value, or a ValueError that says what it should be. Leaves to others: which
settings there are (``settings``).
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.identifiers import is_did

_HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d+)?")
_FEED_RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}")


def path(text: str) -> Path:
    """Return a path; ~ is the home."""
    return Path(text).expanduser()


def stream_urls(text: str) -> tuple[str, ...]:
    """Return websocket addresses, comma-separated, at least one."""
    urls = tuple(part.strip() for part in text.split(",") if part.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise ValueError(f"{url!r} is no ws:// or wss:// address")
    if not urls:
        raise ValueError("name at least one ws:// or wss:// address")
    return urls


def http_url(text: str) -> str:
    """Return an address without a slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is no http:// or https:// address")
    return text.rstrip("/")


def hostname(text: str) -> str:
    """Return a host name, with a port where it has one."""
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("it is no host name, such as feed.example.com")
    return text


def did(text: str) -> str:
    """Return a DID."""
    if not is_did(text):
        raise ValueError("it is no DID, such as did:web:feed.example.com or did:plc:…")
    return text


def feed_rkey(text: str) -> str:
    """Return a record key."""
    if not _FEED_RKEY.fullmatch(text) or text in {".", ".."}:
        raise ValueError("it is no record key: use at most 15 lower-case letters, digits and '-'")
    return text


def listen(text: str) -> tuple[str, int]:
    """Return host and port."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("it is no HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def listen_or_off(text: str) -> tuple[str, int] | None:
    """Return host and port, None for an empty text."""
    return listen(text) if text else None


def address(host_and_port: tuple[str, int] | None) -> str:
    """Return the text of a host and port, the other way round."""
    if host_and_port is None:
        return ""
    host, port = host_and_port
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def positive(text: str) -> float:
    """Return a number above 0."""
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError("it is no number above 0 and below a billion")
    return value


def threads(text: str) -> int:
    """Return a number of threads or processes."""
    value = int(text)
    if not 1 <= value <= 256:
        raise ValueError("it is no number from 1 to 256")
    return value


def on_or_off(text: str) -> bool:
    """Return whether it is on."""
    if text not in {"on", "off"}:
        raise ValueError("it is neither 'on' nor 'off'")
    return text == "on"


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a check for one of some words."""

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it is none of {', '.join(choices)}")
        return text

    return check


def networks(text: str) -> tuple[str, ...]:
    """Return networks as 10.0.0.0/8, comma-separated."""
    return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
