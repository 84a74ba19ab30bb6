"""``foryou ingest`` on the Jetstream v2 wire: the dictionary, compressed messages, and cursors a host forgets."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import commands
import pytest
import zstandard
from streams import WAIT_SECONDS, wait_until
from test_ingest import LIKES, START_US, count_likes, counters, ingest, query
from test_jetstream_v2 import from_v1
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pipeline.ingest import jetstream_v2

DICTIONARY = "subscribe_events_20260811.zdict"
EVENTS = [from_v1(json.loads(line), 1_000 + number) for number, line in enumerate(LIKES)]
FUTURE = {"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "FutureCursor"}


class Host:
    """What one v2 host has, and what it was asked."""

    def __init__(self, events: list[dict], dictionary: bytes, knows: str = "every cursor") -> None:  # type: ignore[type-arg]
        self.events, self.dictionary, self.knows = events, dictionary, knows
        self.cursors: list[int] = []
        known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self.compress = zstandard.ZstdCompressor(dict_data=known).compress if known else None

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith(jetstream_v2.DICTIONARY_PATH):
            response = connection.respond(HTTPStatus.OK if self.dictionary else HTTPStatus.NOT_FOUND, "")
            response.body = self.dictionary
            del response.headers["Content-Length"]
            response.headers["Content-Length"] = str(len(self.dictionary))
            return response
        cursor = int(parse_qs(urlsplit(request.path).query)["cursor"][0])
        self.cursors.append(cursor)
        if self.knows == "times alone" and cursor < jetstream_v2.TIME_CURSOR_MIN:
            return connection.respond(
                HTTPStatus.BAD_REQUEST, '{"error":"CursorTooOld","message":"hidden_accounts"}'
            )
        return None

    async def stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        asked = parse_qs(urlsplit(connection.request.path).query)
        cursor = int(asked["cursor"][0])
        events = self.events
        if cursor < jetstream_v2.TIME_CURSOR_MIN:
            events = [event for event in events if event["payload"]["seq"] >= cursor]
            if self.knows == "lower seqs":  # the archive began anew: on live, from the last event
                events = [{"$type": "message", "payload": FUTURE}, self.events[-1]]
        try:
            for event in events:
                message = json.dumps(event).encode()
                packed = self.compress is not None and "zstdDictionary" in asked
                await connection.send(
                    self.compress(message) if packed and self.compress else message.decode()
                )
            await connection.wait_closed()
        except ConnectionClosed:
            return


@contextmanager
def serving(host: Host) -> Iterator[str]:
    loop, started, ports = asyncio.new_event_loop(), threading.Event(), []
    done = asyncio.Event()

    async def main() -> None:
        async with serve(
            host.stream, "127.0.0.1", 0, process_request=host.answer, compression=None
        ) as server:
            ports.append(next(iter(server.sockets)).getsockname()[1])
            started.set()
            await done.wait()
            for connection in list(server.connections):
                connection.transport.abort()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(WAIT_SECONDS)
    try:
        yield f"ws://127.0.0.1:{ports[0]}/xrpc/{jetstream_v2.PATH}"
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


@pytest.mark.parametrize("compressed", [True, False])
def test_likes_land_and_a_restart_goes_on_by_seq(tmp_path: Path, real_bytes: Path, compressed: bool) -> None:
    dictionary = (real_bytes / DICTIONARY).read_bytes() if compressed else b""
    host = Host(EVENTS[:30], dictionary)
    log = tmp_path / "log"
    with serving(host) as url:
        for count in (30, len(EVENTS)):
            host.events = EVENTS[:count]
            with ingest(tmp_path, url, log=log) as process:
                wait_until(lambda count=count: count_likes(tmp_path) == count)
                assert commands.stop(process) == 0
    assert host.cursors == [1, 1_029]
    assert ("gives no zstd dictionary" in log.read_text()) is not compressed


@pytest.mark.parametrize(
    ("knows", "reason"), [("times alone", "cursor_too_old"), ("lower seqs", "cursor_unknown")]
)
def test_a_host_that_forgot_the_seq_is_asked_by_time(tmp_path: Path, knows: str, reason: str) -> None:
    """Nothing between what is stored and what the host sends first is passed over."""
    host = Host(EVENTS[:30], b"")
    with serving(host) as url:
        with ingest(tmp_path, url) as process:
            last = START_US + 29 * 1_000_000
            wait_until(lambda: query(tmp_path, "SELECT event_us FROM stream_cursors") == [(last,)])
            assert commands.stop(process) == 0
        host.events, host.knows = EVENTS, knows
        with ingest(tmp_path, url) as process:
            wait_until(lambda: count_likes(tmp_path) == len(EVENTS))
            assert commands.stop(process) == 0
    assert host.cursors[1:] == [1_029, START_US + 29 * 1_000_000 - 30_000_000]
    assert counters(tmp_path)["connection", reason] == 1
    assert query(tmp_path, "SELECT * FROM gaps") == []
