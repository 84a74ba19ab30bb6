"""The wires ingest speaks, told by the path of the stream's address.

Owns: ``wire_of``, and where to resume on each wire. Leaves to others: the wires themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.errors import SettingError
from pipeline.ingest import firehose, jetstream
from pipeline.store.events import EventBatch, StreamPosition

# Replays cost nothing but time, so resuming by time goes back a little: a live server may reorder events at the
# seam, and another host's clock differs (order is kept per actor only).
REWIND_SAME_HOST_US = 5_000_000
REWIND_OTHER_HOST_US = 30_000_000


@dataclass(frozen=True, slots=True)
class Wire:
    """One protocol: its name in the store, its messages, and how its cursor counts."""

    name: str
    by_time: bool  # the cursor is a time in us, so it carries over to another host; else a host's own seq
    subscribe_url: Callable[[str, int], str]
    decode: Callable[[str | bytes, EventBatch], None]


JETSTREAM = Wire(jetstream.WIRE, True, jetstream.subscribe_url, jetstream.decode)
FIREHOSE = Wire(firehose.WIRE, False, firehose.subscribe_url, firehose.decode)


def wire_of(url: str) -> Wire:
    """Return the wire of an address; SettingError when its path names none."""
    last = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if last == "subscribe":
        return JETSTREAM
    if last == firehose.PATH:
        return FIREHOSE
    raise SettingError(
        f"FORYOU_STREAM_URL {url}: its path names no wire; "
        f"known: /subscribe (Jetstream v1), /xrpc/{firehose.PATH} (relay or PDS)"
    )


def host_of(url: str) -> str:
    """Return the host and port that a stream's cursors belong to."""
    return urlsplit(url).netloc.rpartition("@")[2]


def resume_url(url: str, position: StreamPosition | None, start_us: int) -> str:
    """Return where to connect to go on after a position, or from ``start_us`` on in an empty store.

    A seq means nothing to another host: there the firehose is read from the oldest event it keeps.
    """
    wire = wire_of(url)
    same = position is not None and (position.host, position.wire) == (host_of(url), wire.name)
    if not wire.by_time:
        return wire.subscribe_url(url, position.value if same and position is not None else 0)
    if position is None:
        return wire.subscribe_url(url, max(start_us, 1))
    cursor = position.value - REWIND_SAME_HOST_US if same else position.event_us - REWIND_OTHER_HOST_US
    return wire.subscribe_url(url, max(cursor, 1))
