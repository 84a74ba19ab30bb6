"""One worker process of the web app: ``python -m serving.process.worker``, started by ``workers``.

Owns: what a worker gets (the first line of its standard input), its processor and limits, and its end: at
SIGTERM, or when standard input ends because the parent has ended. Leaves to others: answering (``web_server``), and
what makes the first answer as fast as later ones (``rehearsal``).
"""

import gc
import os
import pickle
import resource
import signal
import socket
import sys
import threading
from dataclasses import dataclass

from serving.config import ServingConfig
from serving.log_form import log_as

READY = "ready"
OPEN_FILES = 8_192


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker gets: its number and slot, the configuration, and the descriptors that it inherits."""

    number: int
    slot: int
    config: ServingConfig
    listening: int
    pages: int | None  # the socket of the operator's pages
    reading: int
    writing: tuple[int, ...]

    def line(self) -> str:
        """Return the orders as one line."""
        return pickle.dumps(self).hex() + "\n"


def main() -> None:
    """Serve until stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which stops us in order
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    orders: Orders = pickle.loads(bytes.fromhex(sys.stdin.readline()))
    log_as(orders.config.log)
    stay_on_one_core(orders.number)
    allow_open_files()
    from serving.http.web_metrics import count_in_files_of
    from serving.process.web_server import WebServer
    from serving.viewers.peers import Peers

    count_in_files_of(orders.slot)

    listening = socket.socket(fileno=orders.listening)
    gc.collect()  # garbage of the imports
    pages = None if orders.pages is None else socket.socket(fileno=orders.pages)
    server = WebServer(orders.config, listening, Peers(orders.reading, orders.writing), pages=pages)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    if stopping.is_set():
        server.stop()

    def follow_parent() -> None:
        while os.read(0, 4096):
            pass
        server.stop()

    threading.Thread(target=follow_parent, name="follow-parent", daemon=True).start()
    gc.freeze()  # these objects stay; collecting through them made some request wait 15 ms
    print(READY, flush=True)
    server.run()


def allow_open_files() -> None:
    """Allow this process as many descriptors as its connections may need, where the system lets us.

    The usual 1,024 are fewer than ``connections.CONNECTIONS_MAX`` and a quarter. Beyond them the system accepts nothing
    more, and no idle connection is closed to make room.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stay_on_one_core(number: int) -> None:
    """Keep this process's threads on one core, where the system lets us choose; worker 0 gets the last one.

    All threads share one interpreter lock, so they can't use two cores. Passing the lock from core to core, several
    times a request, took up to four times the CPU of the request itself (tests/bench/RESULTS.md).
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0), reverse=True)  # the first one handles most interrupts
        os.sched_setaffinity(0, {cores[number % len(cores)]})


if __name__ == "__main__":
    main()
