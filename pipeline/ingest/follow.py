"""Keeping a connection to the stream: connect, read, notice silence, come back after any end.

Owns: the socket, backoff, the choice among several addresses. Leaves to others: what the messages mean.
Messages are handed over as bounded chunks; when the writer is slow the hand-over waits, reading pauses, and
the server feels it through TCP, while this thread goes on answering pings.

Why our own loop and not a client library's: a clean close by a restarting server ends those silently, and
their cursor moves before the event is stored.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from pipeline.backoff import pause_seconds
from pipeline.ingest.wires import host_of

log = logging.getLogger("foryou.ingest")

CHUNK_BYTES = 1 << 20
CHUNK_SECONDS = 0.2
MESSAGE_BYTES_MAX = 32 << 20  # a record of 1 MB grows when written as JSON; a larger frame is a broken server
BACKOFF_MAX_SECONDS = 60.0
TRIES_PER_HOST = 3
HEALTHY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive messages of one connection to an address."""

    url: str
    messages: list[str | bytes]


class Follower:
    """Follows the first of several stream addresses that works, for as long as its task runs.

    ``resume(url)`` returns the address with its cursor, once all that was delivered is stored;
    ``deliver(chunk)`` may wait as long as it likes; ``count(name)`` counts an end of a connection by its reason.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        resume: Callable[[str], Awaitable[str]],
        deliver: Callable[[Chunk], Awaitable[None]],
        count: Callable[[str], None],
        silence_seconds: float = 60.0,
    ) -> None:
        self._urls = urls
        self._resume = resume
        self._deliver = deliver
        self._count = count
        self._silence_seconds = silence_seconds
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            url = self._urls[self._failures // TRIES_PER_HOST % len(self._urls)]
            began = time.monotonic()
            reason = await self._follow_once(url)
            self._count(reason)
            if time.monotonic() - began > HEALTHY_SECONDS:
                self._failures = 0
            # A server that restarts is back within a second; one that is down is not helped by haste.
            pause = pause_seconds(self._failures, 0.25, BACKOFF_MAX_SECONDS) * random.uniform(0.5, 1.0)
            self._failures += 1
            log.warning("%s: %s; connecting again in %.1f s", host_of(url), reason, pause)
            await asyncio.sleep(pause)

    async def _follow_once(self, url: str) -> str:
        """Follow one connection to its end; return why it ended, as a counter's name."""
        try:
            async with connect(
                await self._resume(url),
                max_size=MESSAGE_BYTES_MAX,
                compression=None,
                open_timeout=10,
                close_timeout=2,
                ping_interval=20,
                ping_timeout=60,
                user_agent_header="foryou",
            ) as connection:
                log.info("connected to %s", host_of(url))
                return await self._read(connection, url)
        except ConnectionClosed as error:
            return f"closed_{_close_code(error)}"
        except (InvalidHandshake, InvalidURI) as error:
            log.warning("%s refused the connection: %s", host_of(url), error)
            return "handshake_refused"
        except TimeoutError:
            return "connect_timeout"
        except OSError as error:
            log.warning("%s: %s", host_of(url), error.strerror or error)
            return "connect_failed"

    async def _read(self, connection: ClientConnection, url: str) -> str:
        """Read to the end of the connection; return why it ended."""
        inbox = _Inbox(url, self._deliver)
        clock = asyncio.create_task(self._keep_time(connection, inbox))
        try:
            while True:
                await inbox.add(await connection.recv(decode=False))
        except ConnectionClosed as error:
            return "silence" if inbox.silent else f"closed_{_close_code(error)}"
        finally:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)
            await inbox.hand_over()

    async def _keep_time(self, connection: ClientConnection, inbox: "_Inbox") -> None:
        """Hand over what came lately, and end a connection that says nothing.

        A task of its own, since a timer a message would cost more than reading it.
        """
        received, heard_at = 0, time.monotonic()
        while True:
            await asyncio.sleep(CHUNK_SECONDS)
            await inbox.hand_over()
            if inbox.received != received:
                received, heard_at = inbox.received, time.monotonic()
                self._failures = 0
            elif time.monotonic() - heard_at > self._silence_seconds:
                inbox.silent = True
                connection.transport.abort()
                return


class _Inbox:
    """Messages of one connection on their way to the writer, in order, a chunk at a time."""

    def __init__(self, url: str, deliver: Callable[[Chunk], Awaitable[None]]) -> None:
        self._url = url
        self._deliver = deliver
        self._messages: list[str | bytes] = []
        self._size = 0
        self._handing_over = asyncio.Lock()
        self.received = 0  # messages, in all
        self.silent = False  # the connection was ended for saying nothing

    async def add(self, message: str | bytes) -> None:
        """Take a message; wait for the writer when a chunk is full and it has no room."""
        self._messages.append(message)
        self._size += len(message)
        self.received += 1
        if self._size >= CHUNK_BYTES:
            await self.hand_over()

    async def hand_over(self) -> None:
        """Pass on what there is."""
        async with self._handing_over:  # one at a time, or a later chunk could overtake a waiting one
            messages, self._messages, self._size = self._messages, [], 0
            if messages:
                await self._deliver(Chunk(self._url, messages))


def _close_code(error: ConnectionClosed) -> int:
    return 1006 if error.rcvd is None else error.rcvd.code
