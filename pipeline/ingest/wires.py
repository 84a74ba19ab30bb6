"""The wires that ingest speaks, known by the path of the stream's address, and where to resume.

Owns: ``wire_of`` and ``subscription``: the address to connect to and how to decode its messages. Leaves to others: the
wires themselves, the connection (``follow``).

The cursor of each wire counts in its own space, on most wires per host. A position of the same host and wire resumes
where it stopped. Any other position resumes by time, a little earlier, since clocks differ.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from pipeline.clock import WhenSeen
from pipeline.errors import SettingError
from pipeline.ingest import firehose, jetstream, jetstream_v2
from pipeline.ingest.seek import NEAR_US, OLDEST, seq_at
from pipeline.store.events import EventBatch, StreamPosition

log = logging.getLogger("foryou.ingest")

# A replay costs only time, so resuming by time goes back a little: a live server may reorder events at the seam, and
# another host's clock differs (order is kept per actor only).
REWIND_SAME_HOST_US = 5_000_000
REWIND_OTHER_HOST_US = 30_000_000
# A host that goes on by time may begin with the start of what it closed last, up to an hour earlier (jetstream#343).
REPLAYED_US = 3_600_000_000
DICTIONARY_SECONDS = 10.0
DICTIONARY_BYTES_MAX = 4 << 20


@dataclass(slots=True, eq=False)
class Subscription:
    """One connection to a stream: where it goes, how to read it, and what it went on from."""

    url: str  # as configured
    address: str  # with the cursor
    host: str
    wire: str  # its name in the store
    decode: Callable[[Iterable[str | bytes], EventBatch, WhenSeen], None]
    resumed_from: StreamPosition | None
    requested_us: int  # the stream time from which it was to go on
    floor_us: int  # no event is from before; 0 where the host may go back anywhere
    counts_time: bool = False  # whether its cursor is a time, which may be wrong like any other
    void: bool = False  # the host did not know the cursor: what it sends is not the continuation
    held: bool = False  # the stream is ahead of this machine's clock: nothing more of it is stored
    events_per_second: float = 0.0  # the stream's pace, as the writer knows it
    events: int = 0  # messages so far that moved the cursor, counted by the writer
    unreadable: int = 0  # messages that did not


def wire_of(url: str) -> str:
    """Return the wire of an address; SettingError when its path names none."""
    last = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if last == "subscribe":
        return jetstream.WIRE
    if last == jetstream_v2.PATH:
        return jetstream_v2.WIRE
    if last == firehose.PATH:
        return firehose.WIRE
    raise SettingError(
        f"FORYOU_STREAM_URL {url}: its path names no wire; known: /subscribe (Jetstream v1), "
        f"/xrpc/{jetstream_v2.PATH} (Jetstream v2), /xrpc/{firehose.PATH} (relay or PDS)"
    )


def host_of(url: str) -> str:
    """Return the host and port that a stream's cursors belong to."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def subscription(url: str, position: StreamPosition | None, start_us: int) -> Subscription:
    """Return how to go on after a position, or to begin at ``start_us`` in an empty store."""
    wire, host = wire_of(url), host_of(url)
    same = position is not None and (position.host, position.wire) == (host, wire)
    if position is None:
        by_time = start_us
    else:
        by_time = position.event_us - (REWIND_SAME_HOST_US if same else REWIND_OTHER_HOST_US)
    by_time = max(by_time, 1)
    requested_us = floor_us = by_time if position is None else position.event_us
    if wire == jetstream.WIRE:
        address = jetstream.subscribe_url(url, by_time)
        floor_us = max(by_time - REPLAYED_US, 0)
        return Subscription(
            url, address, host, wire, jetstream.decode, position, by_time, floor_us, counts_time=True
        )
    if wire == jetstream_v2.WIRE:
        cursor = position.value if same and position is not None else by_time
        dictionary = await _dictionary(url)
        number = None if dictionary is None else jetstream_v2.dictionary_id(dictionary)
        address = jetstream_v2.subscribe_url(url, max(cursor, 1), number)
        unpack = jetstream_v2.MessageDecoder(dictionary if number is not None else None)
        if not same:
            requested_us, floor_us = by_time, max(by_time - REPLAYED_US, 0)
        return Subscription(url, address, host, wire, unpack, position, requested_us, floor_us)
    if same and position is not None:
        seq = position.value
    else:
        seq = await seq_at(url, by_time)
        log.info("%s: going on after seq %d, found by time", host, seq)
        requested_us, floor_us = by_time, 0 if seq == OLDEST else max(by_time - 2 * NEAR_US, 0)
    address = firehose.subscribe_url(url, seq)
    return Subscription(url, address, host, wire, firehose.decode, position, requested_us, floor_us)


async def _dictionary(url: str) -> bytes | None:
    """Return the host's zstd dictionary; None, which costs bandwidth alone, when it can't be had."""
    try:
        async with (
            asyncio.timeout(DICTIONARY_SECONDS),
            httpx.AsyncClient() as client,
            client.stream("GET", jetstream_v2.dictionary_url(url)) as response,
        ):
            response.raise_for_status()
            blob = b""
            async for part in response.aiter_bytes():
                blob += part
                if len(blob) > DICTIONARY_BYTES_MAX:
                    break
    except (TimeoutError, httpx.HTTPError) as error:
        log.warning("%s gives no zstd dictionary (%s); reading without", host_of(url), error or "too slow")
        return None
    if jetstream_v2.dictionary_id(blob) is None or len(blob) > DICTIONARY_BYTES_MAX:
        log.warning("%s gives something else than a zstd dictionary; reading without", host_of(url))
        return None
    return blob
