"""Keeping a connection to the stream: connect, read, notice silence, come back after any end.

Owns: the socket, backoff, the choice among several addresses. Leaves to others: cutting bytes into messages
(``frames``), what they mean (the writer's thread). Messages are handed over as bounded chunks; when the writer is
slow, reading pauses once its queue is full, and the server feels it through TCP, while this thread goes on
telling the server that it lives.

Why our own loop and not a client library's: a clean close by a restarting server ends those silently, and
their cursor moves before the event is stored.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from pipeline.backoff import pause_seconds
from pipeline.ingest.frames import MessageConnection
from pipeline.ingest.wires import Subscription, host_of

log = logging.getLogger("foryou.ingest")

CHUNK_BYTES = 1 << 20
CHUNK_SECONDS = 0.2
PAUSED_SECONDS = 0.02
SIGN_OF_LIFE_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 60.0
TRIES_PER_HOST = 3
# A connection that lasted so long, or brought so much, was no failure.
HEALTHY_SECONDS = 30.0
HEALTHY_MESSAGES = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive messages of one connection, and their bytes in all."""

    subscription: Subscription
    messages: list[bytes]
    size: int


class Follower:
    """Follows the first of several stream addresses that works, for as long as its task runs.

    ``resume(url)`` returns how to go on there, once all that was delivered is stored; ``offer(chunk)`` takes a
    chunk or says that there is no room; ``refused()`` hears that a host no longer knows our cursor;
    ``count(name)`` counts what happens to the connection.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        resume: Callable[[str], Awaitable[Subscription]],
        offer: Callable[[Chunk], bool],
        refused: Callable[[], None],
        count: Callable[[str], None],
        silence_seconds: float = 60.0,
    ) -> None:
        self._urls = urls
        self._resume = resume
        self._offer = offer
        self._refused = refused
        self._count = count
        self._silence_seconds = silence_seconds
        self._place = 0  # of the address in use; the one that works is kept, since each change is a seam
        self._failures = 0  # in a row
        self._received = 0  # messages, in all

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            url = self._urls[self._place]
            began, received = time.monotonic(), self._received
            reason = await self._follow_once(url)
            self._count(reason)
            if time.monotonic() - began > HEALTHY_SECONDS or self._received - received > HEALTHY_MESSAGES:
                self._failures = 0  # it worked
            # A server that restarts is back within a second; one that is down is not helped by haste.
            pause = pause_seconds(self._failures, 0.25, BACKOFF_MAX_SECONDS) * random.uniform(0.5, 1.0)
            self._failures += 1
            log.warning("%s: %s; connecting again in %.1f s", host_of(url), reason, pause)
            if self._failures % TRIES_PER_HOST == 0 and len(self._urls) > 1:
                self._place = (self._place + 1) % len(self._urls)
                self._count("failover")
                log.warning(
                    "%s failed %d times; trying %s",
                    host_of(url),
                    TRIES_PER_HOST,
                    host_of(self._urls[self._place]),
                )
            await asyncio.sleep(pause)

    async def _follow_once(self, url: str) -> str:
        """Follow one connection to its end; return why it ended, as a counter's name."""
        subscription = await self._resume(url)
        inbox = _Inbox(subscription, self._offer)
        try:
            async with connect(
                subscription.address,
                create_connection=partial(  # type: ignore[arg-type]
                    MessageConnection, receive=inbox.add, skipped=self._count
                ),
                compression=None,
                open_timeout=10,
                close_timeout=2,
                ping_interval=20,
                ping_timeout=None,  # silence is noticed by the messages that do not come
                user_agent_header="foryou",
            ) as connection:
                log.info("connected to %s", host_of(url))
                assert isinstance(connection, MessageConnection)
                return await self._read(connection, inbox)
        except InvalidStatus as error:
            body = (error.response.body or b"")[:200].decode(errors="replace")
            if error.response.status_code == 400 and "CursorTooOld" in body:
                self._refused()
                return "cursor_too_old"
            log.warning("%s refused the connection: HTTP %d", host_of(url), error.response.status_code)
            return "handshake_refused"
        except (InvalidHandshake, InvalidURI) as error:
            log.warning("%s refused the connection: %s", host_of(url), error)
            return "handshake_refused"
        except ConnectionClosed as error:
            return f"closed_{1006 if error.rcvd is None else error.rcvd.code}"
        except TimeoutError:
            return "connect_timeout"
        except OSError as error:
            log.warning("%s: %s", host_of(url), error.strerror or error)
            return "connect_failed"

    async def _read(self, connection: MessageConnection, inbox: "_Inbox") -> str:
        """Hand over what comes until the connection ends; return why it ended."""
        inbox.transport = connection.transport
        closed = asyncio.create_task(connection.wait_closed())
        try:
            reason = await self._keep_time(connection, inbox, closed)
        finally:
            closed.cancel()
            self._received += inbox.received
        while not inbox.hand_over():  # what came before the end was good
            await asyncio.sleep(PAUSED_SECONDS)
        return reason or f"closed_{connection.close_code or 1006}"

    async def _keep_time(
        self, connection: MessageConnection, inbox: "_Inbox", closed: "asyncio.Task[None]"
    ) -> str:
        """Hand over what came lately; end a connection that says nothing, or goes on from elsewhere.

        A loop of its own, since a timer a message would cost more than reading it. Returns the reason for
        ending the connection here, '' when the server ended it.
        """
        received, heard_at = 0, time.monotonic()
        alive_at = heard_at
        while not closed.done():
            await asyncio.wait([closed], timeout=PAUSED_SECONDS if inbox.full else CHUNK_SECONDS)
            inbox.hand_over()
            now = time.monotonic()
            if inbox.subscription.void:
                connection.transport.abort()
                return "cursor_unknown"
            if inbox.received != received or inbox.full:
                received, heard_at = inbox.received, now
            elif now - heard_at > self._silence_seconds:
                connection.transport.abort()
                return "silence"
            if inbox.full and now - alive_at > SIGN_OF_LIFE_SECONDS:
                # Nothing is read now, pings neither, so they go unanswered: a pong of our own accord tells
                # the server the same (RFC 6455, section 5.5.3).
                alive_at = now
                await connection.pong()
        return ""


class _Inbox:
    """Messages of one connection on their way to the writer, in order, a chunk at a time."""

    def __init__(self, subscription: Subscription, offer: Callable[[Chunk], bool]) -> None:
        self.subscription = subscription
        self.transport: asyncio.Transport | None = None
        self.received = 0  # messages, in all
        self.full = False  # a chunk found no room: reading pauses
        self._offer = offer
        self._messages: list[bytes] = []
        self._size = 0

    def add(self, messages: list[bytes], size: int) -> None:
        """Take messages; pause reading when a chunk is full and the writer has no room."""
        self._messages += messages
        self._size += size
        self.received += len(messages)
        if self._size >= CHUNK_BYTES:
            self.hand_over()

    def hand_over(self) -> bool:
        """Pass on what there is; False when there is no room for it now."""
        if self._messages:
            if not self._offer(Chunk(self.subscription, self._messages, self._size)):
                if not self.full and self.transport is not None:
                    self.transport.pause_reading()
                    self.full = True
                return False
            self._messages, self._size = [], 0
        if self.full and self.transport is not None:
            self.full = False
            self.transport.resume_reading()
        return True
