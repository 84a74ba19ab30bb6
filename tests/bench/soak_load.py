"""Signed requests at a steady rate, for as long as it takes, from a process of its own.

Owns: ``Load``. Each request has its own token, signed while no request is due; latencies count from the moment a
request was due. Leaves to others: who the accounts are, and what the figures mean.
"""

import array
import multiprocessing
import random
import selectors
import socket
import time
from collections import Counter, deque
from typing import Any

from bench_serving import request
from serving_worlds import Account

READY = 40  # requests signed ahead
CONNECTIONS = 16
REPORT_SECONDS = 5.0


class Load:
    """``rate`` requests a second of known viewers, and ``new_rate`` of viewers who come for the first time."""

    def __init__(
        self, port: int, known: list[Account], new: list[Account], rate: float, new_rate: float
    ) -> None:
        self._queue: Any = multiprocessing.Queue()
        self._ending = multiprocessing.Event()
        self._process = multiprocessing.Process(
            target=_ask, args=(port, known, new, rate, new_rate, self._queue, self._ending), daemon=True
        )
        self.latencies = array.array("f")
        self.recent = array.array("f")
        self.statuses: Counter[str] = Counter()
        self.cpu = 0.0

    def start(self) -> None:
        """Begin to ask."""
        self._process.start()

    def take(self) -> None:
        """Take over what the process has reported since."""
        self.recent = array.array("f")
        while not self._queue.empty():
            latencies, statuses, self.cpu = self._queue.get()
            self.recent.extend(latencies)
            self.statuses.update(statuses)
        self.latencies.extend(self.recent)

    def forget(self) -> None:
        """Begin the figures anew."""
        self.take()
        self.latencies, self.statuses = array.array("f"), Counter()

    def stop(self) -> None:
        """End the process."""
        self.take()
        self._ending.set()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()


def _ask(
    port: int,
    known: list[Account],
    new: list[Account],
    rate: float,
    new_rate: float,
    reports: Any,
    ending: Any,
) -> None:
    chance = random.Random()
    every = max(1, round(rate / new_rate)) if new_rate else 0
    newcomers = iter(new)
    signed: deque[bytes] = deque()
    made = sent = 0
    selector, free = selectors.DefaultSelector(), []
    for _ in range(CONNECTIONS):
        free.append(_connect(port, selector))
    latencies, statuses = array.array("f"), Counter[str]()
    began = time.perf_counter()
    report_at = began + REPORT_SECONDS
    while not ending.is_set():
        now = time.perf_counter()
        while free and now >= began + sent / rate:
            if not signed:
                signed.append(request(chance.choice(known), time.time()))
            connection = free.pop()
            data = selector.get_key(connection).data
            data[0], data[1] = b"", began + sent / rate
            try:
                connection.sendall(signed.popleft())
            except OSError:
                statuses["broken"] += 1
                free.append(_renew(connection, port, selector))
            sent += 1
        # Signing takes half a millisecond: only while none is due.
        if len(signed) < READY and began + sent / rate - time.perf_counter() > 0.001:
            made += 1
            someone = next(newcomers, None) if every and made % every == 0 else None
            signed.append(request(someone or chance.choice(known), time.time()))
        wait = began + sent / rate - time.perf_counter() if free else 0.2
        for key, _ in selector.select(max(0.0, wait) if len(signed) >= READY or not free else 0.0):
            connection = key.fileobj
            try:
                part = connection.recv(262_144)  # type: ignore[union-attr]
            except OSError:
                part = b""
            if not part:
                if connection in free:  # the server closed it because it was idle
                    free[free.index(connection)] = _renew(connection, port, selector)
                else:
                    statuses["broken"] += 1
                    free.append(_renew(connection, port, selector))
                continue
            key.data[0] += part
            status = _status(key.data[0])
            if status:
                statuses[status] += 1
                latencies.append(time.perf_counter() - key.data[1])
                free.append(connection)
        if time.perf_counter() >= report_at:
            reports.put((latencies, statuses, time.process_time()))
            latencies, statuses = array.array("f"), Counter[str]()
            report_at += REPORT_SECONDS
    reports.cancel_join_thread()


def _status(answer: bytes) -> str:
    """Return an answer's status, '200 empty' for a page without posts, '' while it is not complete."""
    head, _, body = answer.partition(b"\r\n\r\n")
    place = head.lower().find(b"content-length: ")
    if place < 0 or len(body) < int(head[place + 16 :].split(b"\r\n")[0]):
        return ""
    status = head[9:12].decode()
    return status if status != "200" or b'"post"' in body else "200 empty"


def _connect(port: int, selector: selectors.BaseSelector) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection, selectors.EVENT_READ, [b"", 0.0])
    return connection


def _renew(connection: Any, port: int, selector: selectors.BaseSelector) -> socket.socket:
    selector.unregister(connection)
    connection.close()
    return _connect(port, selector)
