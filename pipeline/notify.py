"""Telling systemd, or ``foryou up``, that a service is up, and that it is still alive: sd_notify without a library.

Owns: the messages, and how often they are sent. Leaves to others: the place in a service's loop that proves it is
alive. Without NOTIFY_SOCKET in the environment, which systemd sets for units of ``Type=notify`` and
``run.supervisor`` for its children, every call does nothing.

Invariant: ``alive`` is called by the loop that does the work, or after the service has answered a request. A thread
that only sleeps never calls it, for a watchdog fed by such a thread guards nothing.
"""

import os
import socket
import threading
import time
from collections.abc import MutableMapping
from functools import cache

PROBE_SECONDS = 10.0
PROBE_REQUEST = b"HEAD /robots.txt HTTP/1.0\r\nHost: localhost\r\n\r\n"


class ServiceManager:
    """The parent that started this process and listens, if one does; its methods may be called from any thread."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take what systemd says out of ``environment``, so that no child process speaks in our name."""
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        # '@' stands for the zero byte that begins an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        meant_for_us = pid in ("", str(os.getpid()))
        self._every = int(watchdog_us) / 4e6 if watchdog_us.isdigit() and meant_for_us else 0.0
        self._due = 0.0

    def ready(self) -> None:
        """Say that the service is up; units ordered after it start now."""
        self._send(b"READY=1")

    def alive(self) -> None:
        """Say that the service still works; sent four times in the watchdog's interval, however often it is called."""
        now = time.monotonic()
        if self._every and now >= self._due:
            self._due = now + self._every
            self._send(b"WATCHDOG=1")

    def _send(self, message: bytes) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.connect(self._address)
                sender.send(message)
        except OSError:
            pass  # a full or missing socket is no reason to stop; systemd's own timeouts decide


@cache
def service_manager() -> ServiceManager:
    """Return this process's service manager; the first call takes its variables out of the environment."""
    return ServiceManager(os.environ)


def watch_address(address: tuple[str, int], manager: ServiceManager | None = None) -> None:
    """Report the web app at ``address``: ready at its first answer, alive as long as it answers.

    A thread of its own sends requests over a real connection, for what counts is that requests are answered.
    """
    manager = manager or service_manager()

    def watch() -> None:
        while not _answers(address):
            time.sleep(0.2)
        manager.ready()
        while True:
            if _answers(address):
                manager.alive()
            time.sleep(PROBE_SECONDS)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=PROBE_SECONDS) as connection:
            connection.sendall(PROBE_REQUEST)
            return connection.recv(16).startswith(b"HTTP/1.")
    except OSError:
        return False
