"""Finding a time on a firehose whose seqs nobody knows, against a real websocket server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

import libipld
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from pipeline.ingest import firehose
from pipeline.ingest.seek import NEAR_US, OLDEST, PROBE_FRAMES, PROBES_MAX, seq_at
from pipeline.store.model import HOUR_US, time_us_of

DID = "did:plc:mcc5yghbk7tixqryac2yxku7"
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
BEGIN_US = time_us_of(BEGIN)
# Three days, an event every ten seconds but for a night without any; each host leaves seqs out in its own way.
TIMES = [n * 10 for n in range(26_000) if not 8_000 < n < 11_000]
SEQS = [5_000_000 + 3 * n + n % 2 for n in range(len(TIMES))]


def frame(place: int, lies: bool = False) -> bytes:
    days = -2 if lies and place % 20 == 7 else 0  # one host in twenty is two days behind
    time = (BEGIN + timedelta(days=days) + timedelta(seconds=TIMES[place])).isoformat().replace("+00:00", "Z")
    body = {"seq": SEQS[place], "did": DID, "time": time}
    return libipld.encode_dag_cbor({"op": 1, "t": "#identity"}) + libipld.encode_dag_cbor(body)


@asynccontextmanager
async def firehose_server(
    asked: list[str | None], lies: bool, between: Sequence[bytes] = ()
) -> AsyncIterator[str]:
    async def stream(connection: ServerConnection) -> None:
        assert connection.request is not None
        cursor = parse_qs(urlsplit(connection.request.path).query).get("cursor", [None])[0]
        asked.append(cursor)
        try:
            for message in between:
                await connection.send(message)
            if cursor is None:
                await connection.send(frame(len(SEQS) - 1))
            else:
                later = next((n for n, seq in enumerate(SEQS) if seq > int(cursor)), None)
                for place in range(later, min(later + 40, len(SEQS))) if later is not None else ():
                    await connection.send(frame(place, lies))
            await connection.wait_closed()
        except ConnectionClosed:
            return

    async with serve(stream, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/xrpc/{firehose.PATH}"


def found(time_us: int, lies: bool = False, between: Sequence[bytes] = ()) -> tuple[int, int]:
    """Return the cursor found for a time, and how many connections it took, each of which begins with ``between``."""
    asked: list[str | None] = []

    async def main() -> int:
        async with firehose_server(asked, lies, between) as url:
            return await seq_at(url, time_us)

    return asyncio.run(main()), len(asked)


@pytest.mark.parametrize("hours", [0.1, 1, 22.2, 25, 31, 50, 72])
def test_the_next_event_is_just_before_the_time(hours: float) -> None:
    target_us = BEGIN_US + int(hours * HOUR_US)
    cursor, connections = found(target_us)
    place = SEQS.index(cursor)
    before = [n for n, second in enumerate(TIMES) if BEGIN_US + second * 1_000_000 < target_us]
    # Nothing since the time is passed over, and what comes again is half a minute or as many events as a probe reads.
    assert BEGIN_US + TIMES[place] * 1_000_000 < target_us
    assert target_us - BEGIN_US - TIMES[place] * 1_000_000 <= NEAR_US or place >= before[-1] - PROBE_FRAMES
    assert connections <= PROBES_MAX + 2


def test_a_host_in_twenty_that_is_days_behind_leads_nowhere_else() -> None:
    targets = [BEGIN_US + hours * HOUR_US + 1_000_000 for hours in range(1, 72, 3)]
    with ThreadPoolExecutor(len(targets)) as pool:  # each waits for hosts that have no more to say
        cursors = [cursor for cursor, _ in pool.map(partial(found, lies=True), targets)]
    for target_us, cursor in zip(targets, cursors, strict=True):
        assert BEGIN_US + TIMES[SEQS.index(cursor)] * 1_000_000 < target_us


def test_a_time_before_all_that_is_kept() -> None:
    assert found(BEGIN_US - HOUR_US) == (OLDEST, 1)


def test_a_host_that_can_not_be_asked() -> None:
    assert asyncio.run(seq_at(f"ws://127.0.0.1:1/xrpc/{firehose.PATH}", BEGIN_US)) == OLDEST
