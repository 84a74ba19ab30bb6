"""The web app's configuration, as one immutable value.

Owns: the settings that the web app needs, and the names derived from them. Leaves to others: where settings come
from (the command line makes one from its own; tests make one by hand). Nothing is read or started here.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sql import places

FEED_COLLECTION = "app.bsky.feed.generator"
SERVICE_FRAGMENT = "#bsky_fg"
COUNTS_VARIABLE = (
    "PROMETHEUS_MULTIPROC_DIR"  # the parent sets it; prometheus_client reads it when it is imported
)


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """What the web app gets at its start.

    ``workers`` is how many processes answer; ``threads`` is how many requests each works on at once, without those that
    wait for a DID document. ``pages``: "off", "local" (pages that name viewers answer at ``pages_listen``, this machine
    alone), or "public" (``/why`` answers everybody). ``explain`` is the command that says why lists are as they
    are, one request after another; without it there is no page ``/why``. ``known`` is the one that says what is known
    about a viewer, without its last argument. ``trusted_proxies`` are the addresses or networks
    whose forwarding headers are believed. ``access_log``: "problems", "all" or "off". With ``page_posts`` the pages
    show posts as the AppView describes them, with pictures from ``image_hosts`` (origins, such as
    https://cdn.bsky.app). Links to posts lead to ``app_url``.
    """

    data_dir: Path
    hostname: str
    service_did: str
    publisher_did: str
    feed_rkeys: tuple[str, ...]
    listen: tuple[str, int]
    plc_url: str
    pages: str
    threads: int
    workers: int = 1
    pages_listen: tuple[str, int] | None = None  # where the operator's pages are; None: nowhere
    explain: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    log: str = "text"
    access_log: str = "problems"
    lists_old_seconds: float = 3 * 3600.0  # the age at which /health says that lists are old
    appview_url: str = "https://public.api.bsky.app"
    page_posts: bool = False
    image_hosts: tuple[str, ...] = ()
    app_url: str = "https://bsky.app"
    privacy_policy_url: str = ""
    terms_url: str = ""
    pinned_posts: Mapping[str, str] = field(default_factory=dict)  # at-uris, by the feed's record key
    journal: Path | None = None  # this machine's folder of journals, where several machines serve

    def feed_uri(self, rkey: str) -> str:
        """Return the at-uri of one of this installation's feeds."""
        return f"at://{self.publisher_did}/{FEED_COLLECTION}/{rkey}"

    @property
    def serving_path(self) -> Path:
        """The lists; the batch writes them."""
        return places.serving(self.data_dir)

    @property
    def removals_path(self) -> Path:
        """What has left the network since the lists were made; ingest writes it."""
        return places.removals(self.data_dir)

    @property
    def activity_path(self) -> Path:
        """Visits, impressions and interactions; the web app writes them."""
        return places.activity(self.data_dir)

    @property
    def cursor_key_path(self) -> Path:
        """The key that makes page cursors unforgeable."""
        return places.cursor_key(self.data_dir)

    @property
    def keys_path(self) -> Path:
        """Viewers' signing keys, for the next start; a cache."""
        return places.keys(self.data_dir)

    @property
    def sessions_path(self) -> Path:
        """Who is signed in; the web app writes it."""
        return places.sessions(self.data_dir)

    @property
    def client_key_path(self) -> Path:
        """The key by which authorization servers know this installation."""
        return places.client_key(self.data_dir)

    @property
    def audiences(self) -> frozenset[str]:
        """The two forms in which a token may name this service."""
        return frozenset({self.service_did, self.service_did + SERVICE_FRAGMENT})

    @property
    def on_loopback_network(self) -> bool:
        """Whether the directory is on this machine; then did:web:localhost%3APORT exists."""
        return is_loopback(urlsplit(self.plc_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or an address (IPv6 without brackets) is this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
