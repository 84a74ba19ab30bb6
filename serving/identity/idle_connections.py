"""Connections kept open for the next request to the same host.

Owns: which are idle, how many, and for how long. Leaves to others: making them and using them (``fetch``). Only for
hosts that the operator chose: the address was checked when the connection was made.
"""

import select
import socket
import threading
import time
from collections import deque

IDLE_SECONDS = 20.0  # servers close theirs after a minute or so; ours go first
Host = tuple[str, str, int]  # scheme, name, port


class IdleConnections:
    """Idle connections, at most ``most`` a host; may be used from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle: dict[Host, deque[tuple[float, socket.socket]]] = {}
        self._lock = threading.Lock()

    def take(self, host: Host) -> socket.socket | None:
        """Return the connection used last that still looks alive, None when there is none."""
        while True:
            with self._lock:
                idle = self._idle.get(host)
                if not idle:
                    return None
                since, connection = idle.pop()
            # Readable without a request means that the other end has closed it.
            if time.monotonic() - since < IDLE_SECONDS and not _readable(connection):
                return connection
            connection.close()

    def give(self, host: Host, connection: socket.socket) -> None:
        """Take back a connection whose last answer was read to its end."""
        with self._lock:
            idle = self._idle.setdefault(host, deque())
            idle.append((time.monotonic(), connection))
            surplus = idle.popleft()[1] if len(idle) > self._most else None
        if surplus is not None:
            surplus.close()


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
