"""Whose turn it is to have a list worked out: few at once, one a client, and never everybody but one.

Owns: how many requests wait in a worker, how many are worked on in an installation, and how they are shared among
clients. Leaves to others: the work (``explainer``), and who a client is (``clients``).

Invariants: a client has one turn at a time in an installation, and PLACES_OF_CLIENT requests that wait for it in a
worker. Somebody at this machine ("") has a turn and places that no stranger can take. Nobody waits for a turn longer
than ``seconds``.

Turns are locked bytes of one file, which every worker opens. The system frees them when a worker ends. Such a lock
belongs to a process, so its threads also agree among themselves.
"""

import fcntl
import hashlib
import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

TURNS_OF_STRANGERS = 2
TURN_HERE = TURNS_OF_STRANGERS  # the number of its byte
PLACES_OF_STRANGERS = 4  # of a worker's threads
PLACES_OF_CLIENT = 2
PLACES_HERE = 3
_CLIENTS_FROM = 1_000  # bytes of the file, one a client
_PAUSE_SECONDS = 0.05


class BusyError(Exception):
    """There is no free place or turn."""


class Turns:
    """The turns of an installation, as a worker sees them; may be used from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._bytes: set[int] = set()
        self._places: Counter[str] = Counter()

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Hold one of the few places for requests that wait; raise BusyError when none is free."""
        client = network_of(client)
        with self._lock:
            strangers = self._places.total() - self._places[""]
            most = PLACES_OF_CLIENT if client else PLACES_HERE
            if self._places[client] >= most or (client and strangers >= PLACES_OF_STRANGERS):
                raise BusyError
            self._places[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._places[client] -= 1
                if not self._places[client]:
                    del self._places[client]

    @contextmanager
    def turn(self, client: str, seconds: float) -> Iterator[None]:
        """Hold a turn; raise BusyError when none comes within some seconds, OSError when the file can't be opened."""
        client = network_of(client)
        deadline = time.monotonic() + seconds
        digest = hashlib.sha256(client.encode()).digest()
        own = _CLIENTS_FROM + int.from_bytes(digest[:5], "big")
        wanted = ([own], list(range(TURNS_OF_STRANGERS))) if client else ([TURN_HERE],)
        held: list[int] = []
        try:
            for choices in wanted:
                while (found := self._take(choices)) is None:
                    if time.monotonic() > deadline:
                        raise BusyError
                    time.sleep(_PAUSE_SECONDS)
                held.append(found)
            yield
        finally:
            self._give_back(held)

    def _take(self, choices: list[int]) -> int | None:
        """Lock one of some bytes and return it; None when others have them all."""
        with self._lock:
            if self._file is None:
                self._file = self._path.open("wb")  # closing it would free the turns of every thread
            for number in choices:
                if number in self._bytes:
                    continue
                try:
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                except (BlockingIOError, PermissionError):
                    continue
                self._bytes.add(number)
                return number
        return None

    def _give_back(self, numbers: list[int]) -> None:
        with self._lock:
            for number in numbers:
                if self._file is not None:
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
                self._bytes.discard(number)


def network_of(client: str) -> str:
    """Return what stands for a client: an IPv4 address, or the network of an IPv6 address, of which a home has one."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client
