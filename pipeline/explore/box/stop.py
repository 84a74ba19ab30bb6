"""Ctrl-C while a query runs, or while a line is awaited.

Owns: telling who waits in C to stop, as often as it takes. Leaves to others: what is said then (``shell``, ``inside``).

DuckDB looks for a signal at some points of its work alone, and while rows leave it through Arrow it takes one and goes
on. Readline does not see a signal that comes after it showed the prompt and before it waits. So Python's note that a
signal came is read by a thread, and that tells the main thread's work again until the block ends.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

AGAIN_S = 0.05  # an interrupt that comes between two statements is forgotten by DuckDB


@contextmanager
def stoppable(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what the connection runs in the block when SIGINT comes; enter it in the main thread.

    Raises KeyboardInterrupt then, whatever DuckDB makes of it.
    """
    failure: Exception | None = None
    with _again_and_again(connection.interrupt) as came:
        try:
            yield
        except Exception as error:
            failure = error
    if came:
        raise KeyboardInterrupt
    if failure is not None:
        raise failure


@contextmanager
def raised() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt in the block, once, and nothing outside it; enter it in the main thread."""
    main, is_due = threading.get_ident(), True

    def raise_once(*_: object) -> None:
        nonlocal is_due
        if is_due:
            is_due = False
            raise KeyboardInterrupt

    with _again_and_again(lambda: signal.pthread_kill(main, signal.SIGINT)):
        signal.signal(signal.SIGINT, raise_once)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, lambda *_: None)


@contextmanager
def _again_and_again(tell: Callable[[], object]) -> Iterator[list[int]]:
    """Call ``tell`` in a thread from when SIGINT comes until the block ends; give the list of signals that came."""
    ours, pythons = os.pipe()
    os.set_blocking(pythons, False)
    ended = threading.Event()
    came: list[int] = []

    def read() -> None:
        while signum := os.read(ours, 1):
            if signum[0] == signal.SIGINT:
                came.append(signum[0])
                while not ended.wait(AGAIN_S):
                    tell()

    thread = threading.Thread(target=read, name="stop", daemon=True)
    former = signal.set_wakeup_fd(pythons, warn_on_full_buffer=False)
    try:
        thread.start()
        yield came
    finally:
        ended.set()
        signal.set_wakeup_fd(former)
        os.close(pythons)  # the thread reads what is left, then ends
        thread.join()
        os.close(ours)
