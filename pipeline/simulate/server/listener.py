"""One port: the Jetstream wire on /subscribe, a labeler's on its method, pages on every other path.

Owns: the clock, connections, sending, faults. Leaves to others: events (``timeline``), filters (``subscription``),
labels (``labeler``), pages (``http_pages``).

A connection has no queue. It reads the world at its own position and waits for its socket to drain. So a slow reader
costs no memory, and replay passes into the live events without a gap. Events reach the socket as finished frames,
hundreds per write, because one ``send`` each would take most of the time.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from pipeline.simulate.mischief.faults import Fault, FaultCounter
from pipeline.simulate.mischief.malformed import noise
from pipeline.simulate.parameters import HOUR_US
from pipeline.simulate.server.http_pages import HttpPages
from pipeline.simulate.server.labeler import PATH as LABELS_PATH
from pipeline.simulate.server.labeler import Labeler
from pipeline.simulate.server.subscription import LineFilter, SubscriptionError
from pipeline.simulate.timeline import World

_FRAMES_A_WRITE = 256
_WAIT_SECONDS = (0.002, 0.1)
_MAKE_AT_ONCE_US = 6 * HOUR_US
_UPDATE_MOST = 10 * 1024 * 1024
_CLOSE_CODES = {Fault.CLOSE_1000: 1000, Fault.CLOSE_1001: 1001, Fault.CLOSE_1011: 1011}
_TEXT, _BINARY = 0x81, 0x82


class Clock:
    """The world's time: the end of history at first, then ``speed`` times as fast as the wall clock."""

    def __init__(self, end_us: int, speed: float) -> None:
        self.speed = speed
        self._end_us = end_us
        self._began = time.monotonic()

    def now_us(self) -> int:
        """Return the world's time; events up to it have happened."""
        return self._end_us - 1 + int((time.monotonic() - self._began) * self.speed * 1e6)

    def seconds_until(self, time_us: int) -> float:
        """Return how long to wait for a time, within the bounds of one wait."""
        least, most = _WAIT_SECONDS
        return min(most, max(least, (time_us - self.now_us()) / 1e6 / self.speed)) if self.speed else most


class SimulatorServer:
    """Serves one world."""

    def __init__(self, world: World, speed: float = 1.0, faults: dict[Fault, int] | None = None) -> None:
        self.world = world
        self.clock = Clock(world.parameters.end_us, speed)
        self.faults = FaultCounter(faults or {})
        self.labeler = Labeler(world)
        self._pages = HttpPages(world, speed, self.labeler)

    async def start(self, host: str, port: int) -> Server:
        """Make history, then listen; OSError when the address is not available."""
        parameters = self.world.parameters
        for until_us in range(parameters.start_us, parameters.end_us, _MAKE_AT_ONCE_US):
            await asyncio.to_thread(self.world.make_until, until_us)  # in parts, so that it can be cancelled
        await asyncio.to_thread(self.world.make_until, parameters.end_us)
        return await serve(
            self._stream,
            host,
            port,
            process_request=self._request,
            compression=None,
            max_size=_UPDATE_MOST,
            ping_interval=30,
            close_timeout=1,
            server_header=None,
        )

    async def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        if urlsplit(request.path).path == "/subscribe":
            try:
                LineFilter(self.world.people, urlsplit(request.path).query)
            except SubscriptionError as error:
                return connection.respond(400, f"{error}\n")
            return None
        if urlsplit(request.path).path == LABELS_PATH:
            return None
        origin = f"http://{request.headers.get('Host', 'localhost')}"
        return await asyncio.to_thread(self._pages.answer, request.path, self.clock.now_us(), origin)

    async def _stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if urlsplit(connection.request.path).path == LABELS_PATH:
            await self.labeler.stream(connection, self.clock.now_us)
            return
        wanted = LineFilter(self.world.people, urlsplit(connection.request.path).query)
        greeted = asyncio.Event()
        if not wanted.hello:
            greeted.set()
        updates = asyncio.create_task(_take_updates(connection, wanted, greeted))
        try:
            await greeted.wait()
            await self._send_events(connection, wanted)
        except ConnectionClosed:
            pass
        finally:
            updates.cancel()
            await asyncio.gather(updates, return_exceptions=True)

    async def _send_events(self, connection: ServerConnection, wanted: LineFilter) -> None:
        """Send events from the reader's cursor on, until the connection ends."""
        now = self.clock.now_us()
        cursor = wanted.cursor
        position = now + 1 if cursor is None or cursor > now else cursor
        slot = self.world.slot_of(position)
        while connection.state is State.OPEN:
            start = self.world.slot_start_us(slot)
            if start > self.clock.now_us():
                await asyncio.sleep(self.clock.seconds_until(start))
                continue
            chunk = await asyncio.to_thread(self.world.chunk, slot)
            if chunk is None:  # the reader is too slow: its next events are forgotten
                slot = self.world.slot_of(0)
                continue
            events, lines, after = chunk
            while position is not None and connection.state is State.OPEN:
                low, high = np.searchsorted(events.time_us, [position, self.clock.now_us() + 1])
                selected = wanted.select(events.take(slice(low, high)), lines[low:high])
                if not await self._send(connection, selected):
                    return
                if high > low:
                    position = int(events.time_us[high - 1]) + 1
                if high == len(events):
                    break
                await asyncio.sleep(self.clock.seconds_until(int(events.time_us[high])))
            slot = after

    async def _send(self, connection: ServerConnection, lines: list[bytes]) -> bool:
        """Send lines, and do the faults that are due; False when the connection is over."""
        at = 0
        while at < len(lines):
            size = self.faults.room(min(_FRAMES_A_WRITE, len(lines) - at))
            batch = lines[at : at + size]
            if connection.state is not State.OPEN:
                return False
            connection.transport.write(frames(batch))
            await connection.drain()
            await asyncio.sleep(0)
            at += size
            for fault in self.faults.count(size):
                if not await self._misbehave(connection, fault, batch[-1]):
                    return False
        return True

    async def _misbehave(self, connection: ServerConnection, fault: Fault, line: bytes) -> bool:
        """Do a fault; False when the connection is over."""
        if fault in _CLOSE_CODES:
            await connection.close(_CLOSE_CODES[fault], "simulated")
        elif fault is Fault.ABORT:
            linger = struct.pack("ii", 1, 0)
            connection.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            connection.transport.abort()
        elif fault is Fault.SILENT:
            await connection.wait_closed()
        elif fault is Fault.HALF_FRAME:
            connection.transport.write(frames([line[: len(line) // 2]]))
            return True
        else:
            is_text, payload = noise(self.faults.done[fault] - 1, line)
            connection.transport.write(frames([payload], _TEXT if is_text else _BINARY))
            return True
        return False


async def _take_updates(connection: ServerConnection, wanted: LineFilter, greeted: asyncio.Event) -> None:
    """Apply options_update messages; an invalid one ends the connection."""
    try:
        async for message in connection:
            wanted.update(message)
            greeted.set()
    except SubscriptionError as error:
        await connection.close(1008, str(error)[:100])
    except ConnectionClosed:
        pass
    greeted.set()


def frames(payloads: Iterable[bytes], opcode: int = _TEXT) -> bytes:
    """Return payloads as unmasked websocket frames, one after another (RFC 6455, section 5.2)."""
    parts = []
    for payload in payloads:
        size = len(payload)
        if size < 126:
            parts.append(bytes((opcode, size)))
        elif size < 65_536:
            parts.append(struct.pack("!BBH", opcode, 126, size))
        else:
            parts.append(struct.pack("!BBQ", opcode, 127, size))
        parts.append(payload)
    return b"".join(parts)
