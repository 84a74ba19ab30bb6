"""A Jetstream v1 server on loopback that serves given lines, and misbehaves as told.

For what the simulated network does not do: serve recorded bytes, and end each connection in its own way.
"""

import asyncio
import itertools
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from pipeline.simulate.server.listener import frames

# What happens to a connection once it has been sent its lines; the n-th connection gets the n-th ending, and
# every later one stays open. 'half' breaks off within a frame, 'rubbish' sends what is no event for ever.
Ending = str  # 'close:CODE', 'abort', 'half', 'rubbish', 'silent', 'dead', 'refuse' (HTTP 502, HTML), 'open'


@dataclass
class LineStream:
    """Serves ``lines`` (JSON texts or raw bytes) from the cursor asked for, on a free port, in a thread."""

    lines: Sequence[str | bytes]
    endings: Sequence[Ending] = ()
    lines_per_connection: int | None = None
    cursors: list[int | None] = field(default_factory=list)  # as each connection asked
    rubbish: int = 0  # messages of it sent

    def __enter__(self) -> Self:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(WAIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/subscribe"

    def append(self, lines: Sequence[str | bytes]) -> None:
        """Add lines for the connections that are open and those to come."""
        self.lines = [*self.lines, *lines]

    def _serve(self, started: threading.Event) -> None:
        async def main() -> None:
            self._done = asyncio.Event()
            async with serve(
                self._stream, "127.0.0.1", 0, process_request=self._answer, compression=None, max_size=None
            ) as server:
                self.port = _port(server)
                started.set()
                await self._done.wait()
                for connection in list(server.connections):
                    connection.transport.abort()

        self._loop.run_until_complete(main())
        self._loop.close()

    def _ending(self, number: int) -> Ending:
        return self.endings[number] if number < len(self.endings) else "open"

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        query = parse_qs(urlsplit(request.path).query)
        self.cursors.append(int(query["cursor"][0]) if "cursor" in query else None)
        if self._ending(len(self.cursors) - 1) == "refuse":
            return connection.respond(502, "<html><body>Bad gateway</body></html>")
        return None

    async def _stream(self, connection: ServerConnection) -> None:
        number = len(self.cursors) - 1
        cursor = self.cursors[number]
        ending = self._ending(number)
        sent = position = 0
        try:
            while not self._done.is_set():
                while position < len(self.lines):
                    line = self.lines[position]
                    position += 1
                    if cursor is not None and (_time_us(line) or cursor) < cursor:
                        continue
                    await connection.send(line)
                    sent += 1
                    if ending != "open" and sent == self.lines_per_connection:
                        break
                if ending in ("silent", "dead"):
                    if ending == "dead":  # the machine is off: nothing is answered, pings neither
                        connection.transport.pause_reading()
                    await self._done.wait()
                elif ending == "rubbish":
                    await self._send_rubbish(connection)
                elif ending == "half":
                    connection.transport.write(b"\x81\x7e\x02\x00" + b'{"did":"did:plc:half')
                    await asyncio.sleep(0.05)
                    connection.transport.abort()
                    return
                elif ending == "abort":
                    await asyncio.sleep(0.05)  # let what was sent leave the machine first
                    connection.transport.abort()
                    return
                elif ending.startswith("close:"):
                    await connection.close(int(ending.removeprefix("close:")), "bye")
                    return
                await asyncio.sleep(0.01)
        except ConnectionClosed:
            return

    async def _send_rubbish(self, connection: ServerConnection) -> None:
        """Send frames that are no events, as fast as they are taken, until the reader leaves."""
        choose = random.Random(1)
        payloads = [choose.randbytes(choose.randrange(1, 2_000)) for _ in range(400)]
        payloads += [b"{", b'{"time_us":"now"}', b"[" * 3_000, b"null", b'{"did":7,"kind":{}}'] * 20
        choose.shuffle(payloads)
        block = frames(payloads, 0x82)
        while not self._done.is_set():
            connection.transport.write(block)
            self.rubbish += len(payloads)
            await connection.drain()
            if connection.state is not State.OPEN:
                return


def _time_us(line: str | bytes) -> int | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    time_us = event.get("time_us") if isinstance(event, dict) else None
    return time_us if isinstance(time_us, int) else None


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


# What a busy machine needs for the slowest of them: batches of the timetable give way to all else that runs. Nobody
# waits so long but for a test that fails.
WAIT_SECONDS = 600.0


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Poll until the condition holds; AssertionError after so many seconds.

    Asking takes a fifth of the time, unless one question takes long: what is waited for needs the processor.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(min(max(0.02, 4 * (time.monotonic() - asked)), 0.25))


_ports = itertools.count(os.getpid() * 61)


def free_port() -> int:
    """Return a port of loopback that is free, also for a while: the system gives none of these to anybody by itself."""
    while True:
        port = 20_000 + next(_ports) % 12_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
