"""Keeping a connection to the stream: connect, read, notice silence, reconnect after any end.

Owns: the socket, backoff, the choice among several addresses. Leaves to others: cutting bytes into messages
(``frames``), what they mean (the writer's thread). Messages are handed over as bounded chunks. When the writer is slow,
reading pauses once its queue is full and TCP slows the server down, while this thread keeps answering the server's
pings.

Why our own loop and not a client library's: those end silently when a restarting server closes cleanly, and their
cursor moves before the event is stored.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from pipeline.backoff import pause_seconds
from pipeline.ingest.frames import MESSAGE_BYTES_MAX, MessageConnection
from pipeline.ingest.wires import Subscription, host_of

log = logging.getLogger("foryou.ingest")

CHUNK_BYTES = 1 << 20
CHUNK_SECONDS = 0.2
PAUSED_SECONDS = 0.02
SIGN_OF_LIFE_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 60.0
CONNECT_SECONDS = 10.0
TRIES_PER_HOST = 3
PONG_SECONDS = 10.0
QUIET_EVENTS = 50.0  # a stream that would have sent more than this meanwhile is not quiet
# A connection that lasted this long, or brought this many events, was healthy.
HEALTHY_SECONDS = 30.0
HEALTHY_EVENTS = 1_000
# Why there was no connection at all. When that lasts, one line says what to do.
UNREACHED = frozenset({"connect_failed", "connect_timeout", "handshake_refused"})
UNREACHED_SECONDS, UNREACHED_AGAIN_SECONDS = 30.0, 600.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive messages of one connection, and their bytes in all; none of them when it has ended."""

    subscription: Subscription
    messages: list[bytes]
    size: int


@dataclass(frozen=True, slots=True)
class End:
    """Why a connection ended: ``reason`` as it is counted, ``words`` as the log says it."""

    reason: str
    words: str


class Follower:
    """Follows the first of several stream addresses that works, for as long as its task runs.

    ``settled()`` tells whether all that was delivered is stored; ``resume(url)`` returns how to go on there then;
    ``offer(chunk)`` takes a chunk or says that there is no room; ``refused()`` hears that a host no longer knows
    our cursor; ``count(name)`` counts what happens to the connection.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        settled: Callable[[], bool],
        resume: Callable[[str], Awaitable[Subscription]],
        offer: Callable[[Chunk], bool],
        refused: Callable[[], None],
        count: Callable[[str], None],
        silence_seconds: float = 60.0,
        name: str = "stream",
    ) -> None:
        self._urls = urls
        self._settled = settled
        self._resume = resume
        self._offer = offer
        self._refused = refused
        self._count = count
        self._silence_seconds = silence_seconds
        self._name = name
        self._place = 0  # of the address in use; the one that works is kept, since each change is a seam
        self._failures = 0  # in a row, each of which makes the next pause longer
        self._strikes = 0  # in a row, three of which turn to the next address
        self._unreached_since = self._hint_at = math.inf  # on the monotonic clock

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            url, began = self._urls[self._place], time.monotonic()
            subscription = await self._resume(url)
            end = await self._follow_once(subscription)
            self._count(end.reason)
            while not self._offer(Chunk(subscription, [], 0)):  # that it has ended, after all it brought
                await asyncio.sleep(PAUSED_SECONDS)
            while not self._settled():  # going on from an older position would only cost time
                await asyncio.sleep(PAUSED_SECONDS)
            if _was_healthy(subscription, end, time.monotonic() - began):
                self._failures = self._strikes = 0
            # A server that restarts is back within a second; one that is down is not helped by haste.
            pause = pause_seconds(self._failures, 0.25, BACKOFF_MAX_SECONDS) * random.uniform(0.5, 1.0)
            log.warning("%s: %s; connecting again in %.1f s", host_of(url), end.words, pause)
            self._hint(end, began)
            if end.reason != "silence":  # a quiet host is still there: connect again at once
                self._failures += 1
            self._strikes += 1
            if self._strikes % TRIES_PER_HOST == 0 and len(self._urls) > 1:
                self._place = (self._place + 1) % len(self._urls)
                self._count("failover")
                following = host_of(self._urls[self._place])
                log.warning("%s failed %d times; trying %s", host_of(url), TRIES_PER_HOST, following)
            await asyncio.sleep(pause)

    def _hint(self, end: End, began: float) -> None:
        """Say what to do when for a while no host could be reached; ``began`` is when this connection was tried."""
        if end.reason not in UNREACHED:
            self._unreached_since = math.inf
            return
        now = time.monotonic()
        if self._unreached_since == math.inf:
            self._unreached_since, self._hint_at = began, began + UNREACHED_SECONDS
        if now >= self._hint_at:
            self._hint_at = now + UNREACHED_AGAIN_SECONDS
            seconds = now - self._unreached_since
            log.warning(
                "no %s could be reached for %.0f s: check this machine's network; 'foryou doctor' says more",
                self._name,
                seconds,
            )

    async def _follow_once(self, subscription: Subscription) -> End:
        """Follow one connection to its end."""
        host = host_of(subscription.url)
        inbox = _Inbox(subscription, self._offer)
        try:
            async with connect(
                subscription.address,
                create_connection=partial(  # type: ignore[arg-type]
                    MessageConnection, receive=inbox.add, skipped=partial(self._skip, inbox)
                ),
                compression=None,
                open_timeout=CONNECT_SECONDS,
                close_timeout=2,
                ping_interval=20,
                ping_timeout=None,  # silence is noticed by the messages that do not come
                user_agent_header="foryou",
            ) as connection:
                log.info("connected to %s", host)
                assert isinstance(connection, MessageConnection)
                return await self._read(connection, inbox)
        except InvalidStatus as error:
            body = (error.response.body or b"")[:200].decode(errors="replace")
            status = error.response.status_code
            if status == 400 and "CursorTooOld" in body:
                self._refused()
                return End("cursor_too_old", "it keeps nothing so old as our cursor, going on by time")
            return End("handshake_refused", f"it refused the connection with HTTP {status}")
        except (InvalidHandshake, InvalidURI) as error:
            return End("handshake_refused", f"it refused the connection: {error}")
        except ConnectionClosed as error:
            return _closed(1006 if error.rcvd is None else error.rcvd.code)
        except TimeoutError:
            return End("connect_timeout", f"no answer within {CONNECT_SECONDS:g} s")
        except OSError as error:
            return End("connect_failed", error.strerror or str(error))

    def _skip(self, inbox: "_Inbox", name: str) -> None:
        self._count(name)
        inbox.skipped += 1
        if inbox.skipped == 1:  # one line a connection: a server may send nothing else
            log.warning(
                "%s: a message of more than %d MB is left out; others are counted as %s",
                host_of(inbox.subscription.url),
                MESSAGE_BYTES_MAX >> 20,
                name,
            )

    async def _read(self, connection: MessageConnection, inbox: "_Inbox") -> End:
        """Hand over what comes until the connection ends; return why it ended."""
        inbox.transport = connection.transport
        closed = asyncio.create_task(connection.wait_closed())
        try:
            end = await self._keep_time(connection, inbox, closed)
        finally:
            closed.cancel()
        while not inbox.hand_over():  # what came before the end was good
            await asyncio.sleep(PAUSED_SECONDS)
        return end or _closed(connection.close_code or 1006)

    async def _keep_time(
        self, connection: MessageConnection, inbox: "_Inbox", closed: "asyncio.Task[None]"
    ) -> End | None:
        """Hand over what came lately; end a connection that says nothing of use, or goes on from elsewhere.

        A loop of its own, since a timer a message would cost more than reading it. Returns why the connection
        was ended here, None when the server ended it.
        """
        subscription = inbox.subscription
        received, received_at = 0, time.monotonic()
        events, unreadable, understood_at = 0, 0, received_at
        alive_at = received_at
        while not closed.done():
            await asyncio.wait([closed], timeout=PAUSED_SECONDS if inbox.full else CHUNK_SECONDS)
            inbox.hand_over()
            now = time.monotonic()
            end = None
            if inbox.received != received or inbox.full:
                received, received_at = inbox.received, now
            elif now - received_at > self._silence_seconds:
                if await self._is_only_quiet(connection, subscription):
                    received_at = now
                else:
                    end = End("silence", f"nothing came for {self._silence_seconds:g} s")
            if subscription.events != events or subscription.unreadable == unreadable:
                events, unreadable, understood_at = subscription.events, subscription.unreadable, now
            elif end is None and now - understood_at > self._silence_seconds:
                said = f"nothing but rubbish for {self._silence_seconds:g} s"
                end = End("rubbish", f"{said}, {subscription.unreadable - unreadable} messages of it")
            if subscription.void:
                end = End("cursor_unknown", "it does not know our cursor, going on by time")
            if subscription.held:
                end = End("clock", "it is ahead of this machine's clock")
            if end is not None:
                connection.transport.abort()
                return end
            if inbox.full and now - alive_at > SIGN_OF_LIFE_SECONDS:
                # Nothing is read now, pings neither, so they go unanswered: a pong of our own accord tells
                # the server the same (RFC 6455, section 5.5.3).
                alive_at = now
                await connection.pong()
        return None

    async def _is_only_quiet(self, connection: MessageConnection, subscription: Subscription) -> bool:
        """Tell whether a host that sends nothing is there, and has so little to send that this is no wonder."""
        if self._silence_seconds * subscription.events_per_second > QUIET_EVENTS:
            return False
        try:
            async with asyncio.timeout(min(PONG_SECONDS, self._silence_seconds)):
                await (await connection.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return True


def _closed(code: int) -> End:
    words = "the connection broke" if code == 1006 else f"it closed the connection ({code})"
    return End(f"closed_{code}", words)


def _was_healthy(subscription: Subscription, end: End, seconds: float) -> bool:
    """Tell whether a connection worked, so that its end says nothing against its host."""
    if end.reason in {"silence", "rubbish"}:
        return False
    return subscription.events > HEALTHY_EVENTS or (seconds > HEALTHY_SECONDS and not subscription.unreadable)


class _Inbox:
    """Messages of one connection on their way to the writer, in order, a chunk at a time."""

    def __init__(self, subscription: Subscription, offer: Callable[[Chunk], bool]) -> None:
        self.subscription = subscription
        self.transport: asyncio.Transport | None = None
        self.received = 0  # messages, in all
        self.skipped = 0  # messages too large to be read
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
