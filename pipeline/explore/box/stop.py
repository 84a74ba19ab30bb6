"""Ctrl-C while a query runs.

Owns: telling DuckDB to stop, as often as it takes. Leaves to others: what is said then (``shell``, ``inside``).

DuckDB looks for a signal at some points of its work alone, and while rows leave it through Arrow it takes one and goes
on. So Python's note that a signal came is read by a thread, and that interrupts the connection until the block ends.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

AGAIN_S = 0.05  # an interrupt that comes between two statements is forgotten by DuckDB


@contextmanager
def stoppable(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what the connection runs in the block when SIGINT comes; enter it in the main thread.

    Raises KeyboardInterrupt then, whatever DuckDB makes of it.
    """
    ours, pythons = os.pipe()
    os.set_blocking(pythons, False)
    ended = threading.Event()
    stopped: list[int] = []

    def interrupt() -> None:
        while signum := os.read(ours, 1):
            if signum[0] == signal.SIGINT:
                stopped.append(signum[0])
                while not ended.wait(AGAIN_S):
                    connection.interrupt()

    thread = threading.Thread(target=interrupt, name="stop", daemon=True)
    former = signal.set_wakeup_fd(pythons, warn_on_full_buffer=False)
    failure: Exception | None = None
    try:
        thread.start()
        yield
    except Exception as error:
        failure = error
    finally:
        ended.set()
        signal.set_wakeup_fd(former)
        os.close(pythons)  # the thread reads what is left, then ends
        thread.join()
        os.close(ours)
    if stopped:
        raise KeyboardInterrupt
    if failure is not None:
        raise failure


@contextmanager
def raised() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt in the block, and nothing else outside it: a second one may come too late."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, lambda *_: None)
