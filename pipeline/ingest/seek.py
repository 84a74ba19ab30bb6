"""Finding the seq of a firehose at a time, where no cursor of ours counts: another relay, an empty store.

Owns: ``seq_at``. A relay's seq says nothing about another's, but both grow with time, so a few short
connections that read a few frames each find the place, as one finds a page in a book.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI, WebSocketException

from pipeline.ingest import firehose
from pipeline.ingest.cbor import FRAME_BYTES_MAX
from pipeline.store.events import EventBatch

log = logging.getLogger("foryou.ingest")

OLDEST = 0  # the cursor of everything a host keeps
PROBES_MAX = 24
PROBE_SECONDS = 5.0
PROBE_FRAMES = 15
MORE_SECONDS = 1.0  # for the frames after the first: a quiet host sends none
NEAR_US = 30_000_000


class _Place(NamedTuple):
    seq: int
    time_us: int


async def seq_at(url: str, time_us: int) -> int:
    """Return a cursor whose next events are of ``time_us`` or up to half a minute before.

    OLDEST when the time is before everything the host keeps, and when the host does not answer: reading too
    much is only slow.
    """
    low = await _probe(url, OLDEST)
    if low is None or low.time_us >= time_us:
        return OLDEST
    high = await _probe(url, None)
    if high is None:  # so quiet that nothing came meanwhile: all it keeps is soon read
        return OLDEST
    return await _search_between(url, low, high, time_us)


async def _search_between(url: str, low: _Place, high: _Place, time_us: int) -> int:
    """Return the seq of an event shortly before a time, given one before it and one that came later."""
    cursor, cursor_us = high.seq, high.time_us  # what follows this cursor is not before the time
    for number in range(PROBES_MAX):
        if time_us - low.time_us <= NEAR_US or cursor <= low.seq:
            break
        share = (time_us - low.time_us) / max(cursor_us - low.time_us, 1)
        if number % 3 == 2:  # events come unevenly: halve now and then
            share = 0.5
        guess = min(low.seq + int((cursor - low.seq) * min(max(share, 0.02), 0.98)), cursor - 1)
        place = await _probe(url, guess)
        if place is None:
            break
        if place.time_us < time_us and place.seq > low.seq:
            low = place
        else:
            cursor, cursor_us = guess, place.time_us
    return low.seq


async def _probe(url: str, cursor: int | None) -> _Place | None:
    """Return seq and time of the events after a cursor, or of the next ones; None if the host sends none.

    The time is what most of a few frames claim: each is one host's word.
    """
    address = firehose.subscribe_url(url, cursor)
    messages: list[str | bytes] = []
    try:
        async with (
            asyncio.timeout(PROBE_SECONDS) as limit,
            connect(address, compression=None, max_size=FRAME_BYTES_MAX, close_timeout=0.5) as connection,
        ):
            async for message in connection:
                if not messages:
                    limit.reschedule(asyncio.get_running_loop().time() + MORE_SECONDS)
                messages.append(message)
                if len(messages) == PROBE_FRAMES:
                    break
    except (TimeoutError, OSError, WebSocketException, InvalidURI) as error:
        log.debug("%s: %s", address, error)
    claims: list[int] = []

    def note(times: Sequence[int]) -> Sequence[int]:
        claims.extend(times)
        return times

    batch = EventBatch()
    firehose.decode(messages, batch, note)
    return _Place(batch.first_value, sorted(claims)[len(claims) // 2]) if claims else None
