"""The web app's processes: one parent that owns the port, and its workers.

Owns: the listening socket, how many workers there are, replacing one that ends, renewing all of them at SIGHUP, and
the ordered end at SIGTERM or SIGINT. Leaves to others: answering requests (``web_server``, in each worker).

Invariants: the socket listens as long as the parent lives, so a connection that finds no worker waits for one and
none is refused. When workers are renewed, one ends only after its successor is ready. When the parent ends, however
it ends, its workers end at once. A worker that crashes is replaced, after a pause that grows while it keeps
crashing.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from serving.config import COUNTS_VARIABLE, ServingConfig
from serving.log_form import say
from serving.process.listening import address_of, listen
from serving.process.worker import READY, Orders
from serving.viewers.peers import drain, new_pipes
from serving.web_errors import ServingError
from sql import places
from sql.temporary_folders import TemporaryFolder, temporary_folder

log = logging.getLogger("foryou.serve")

START_SECONDS = 20.0
STOP_SECONDS = 3.2  # a worker takes 2.5 s at most
TURN_SECONDS = 0.05
FIRST_PAUSE_SECONDS = 0.4  # after a second crash in a row; twice as long after each further one
PAUSE_MAX_SECONDS = 30.0
STEADY_SECONDS = 60.0  # a worker that ran this long did not crash at its start


@dataclass(slots=True)
class _Worker:
    number: int
    slot: int  # its pipe and its files of counts; free again when the process has ended
    process: subprocess.Popen[str]
    started: float


class Workers:
    """Runs ``config.workers`` workers on one port until stopped."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._socket = listen(config.listen)
        self._pages = _listen_for_pages(config)
        # Twice as many as workers, so that a new one can start before the old one ends.
        self._pipes = new_pipes(2 * config.workers)
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}
        self._pauses: dict[int, float] = {}  # the last pause before a worker was started again
        self._stopping = threading.Event()
        self._renewing = threading.Event()
        self._counts = counts_folder()

    @property
    def address(self) -> tuple[str, int]:
        """The address it listens on."""
        return address_of(self._socket)

    @property
    def pages_address(self) -> tuple[str, int] | None:
        """The address of the operator's pages."""
        return None if self._pages is None else address_of(self._pages)

    def stop(self) -> None:
        """Make ``run`` end soon; safe in a signal handler."""
        self._stopping.set()

    def renew(self) -> None:
        """Make ``run`` replace each worker, one after another; safe in a signal handler."""
        self._renewing.set()

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Keep the workers running until ``stop``; raise ServingError when the first can't start.

        ``on_ready`` is called when all of them have had time to start; connections are accepted before that.
        """
        try:
            for number in range(self._config.workers):
                self._workers[number] = self._start(number)
            first, *others = self._workers.values()
            if not self._ready(first) and not self._stopping.is_set():
                raise ServingError("a worker of the web app could not start; its log lines say why")
            # Waiting for all, so that the first requests find every core free. A worker that fails is replaced below.
            for worker in others:
                self._ready(worker)
            on_ready()
            while not self._stopping.wait(TURN_SECONDS):
                if self._renewing.is_set():
                    self._renewing.clear()
                    self._renew()
                self._watch()
        finally:
            self._end()

    def _start(self, number: int) -> _Worker:
        slot = self._free_slot()
        reading = self._pipes[slot][0]
        drain(reading)
        writing = tuple(pipe[1] for other, pipe in enumerate(self._pipes) if other != slot)
        listening = self._socket.fileno()
        pages = None if self._pages is None else self._pages.fileno()
        own = (listening,) if pages is None else (listening, pages)
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.process.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(*own, reading, *writing),
            env={**os.environ, COUNTS_VARIABLE: str(self._counts.path)},
            text=True,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(Orders(number, slot, self._config, listening, pages, reading, writing).line())
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended already; ``_watch`` sees that
        return _Worker(number, slot, process, time.monotonic())

    def _free_slot(self) -> int:
        taken = {worker.slot for worker in self._workers.values()}
        return next(slot for slot in range(len(self._pipes)) if slot not in taken)

    def _ready(self, worker: _Worker) -> bool:
        """Wait until a worker answers; False when it ended or took too long, or when all must stop."""
        stdout = worker.process.stdout
        assert stdout is not None
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline and not self._stopping.is_set():
                if selector.select(TURN_SECONDS):
                    return stdout.readline().strip() == READY
        return False

    def _watch(self) -> None:
        now = time.monotonic()
        for number, worker in list(self._workers.items()):
            code = worker.process.poll()
            if code is None:
                continue
            _close(worker.process)
            del self._workers[number]
            lived = now - worker.started
            last = None if lived > STEADY_SECONDS else self._pauses.get(number)
            # From pause to pause, so no power of the number of crashes can overflow.
            pause = 0.0 if last is None else min(max(2 * last, FIRST_PAUSE_SECONDS), PAUSE_MAX_SECONDS)
            self._pauses[number], self._due[number] = pause, now + pause
            ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            log.warning("worker %d %s after %.0f s; another starts in %.1f s", number, ended, lived, pause)
        for number, due in list(self._due.items()):
            if now >= due:
                del self._due[number]
                self._workers[number] = self._start(number)

    def _renew(self) -> None:
        log.info("replacing %d workers", len(self._workers))
        for number, former in list(self._workers.items()):
            fresh = self._start(number)
            if self._ready(fresh):
                self._workers[number] = fresh
                _stop([former], STOP_SECONDS)
            else:
                _stop([fresh], 0.0)
                if not self._stopping.is_set():
                    log.error("a new worker could not start; the old ones stay")
                return

    def _end(self) -> None:
        self._socket.close()
        if self._pages is not None:
            self._pages.close()
        _stop(list(self._workers.values()), STOP_SECONDS)
        self._workers.clear()
        self._counts.close()


def _listen_for_pages(config: ServingConfig) -> socket.socket | None:
    """Return the socket of the operator's pages; None when there are none, or when their address can't be had."""
    if config.pages_listen is None:
        return None
    try:
        return listen(config.pages_listen)
    except ServingError as error:
        log.warning("%s; there are no pages for this machine (FORYOU_PAGES_LISTEN)", error)
        return None


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def counts_folder(memory: Path = Path("/dev/shm")) -> TemporaryFolder:
    """Return a folder for the files of counts that the workers share, in memory where the system has such a place.

    The files are mapped into memory and grow when they are written to: on a full disk, a new page would end the worker
    with SIGBUS.
    """
    return temporary_folder("counts", memory if os.access(memory, os.W_OK) else None)


def run(config: ServingConfig, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; raise ServingError when the address can't be listened on.

    ``on_ready`` is called once the workers answer.
    """
    places.keep_private()
    if left := places.outside_web(config.data_dir):
        names = ", ".join(path.name for path in left)
        raise ServingError(
            f"the web app keeps its files in {places.web(config.data_dir)}, but {names} are in {config.data_dir}: "
            "stop foryou and move them there, each .sqlite with the files that begin with its name"
        )
    workers = Workers(config)

    def announce() -> None:
        say(log, logging.INFO, f"the web app listens on {_url(workers.address)}")
        if workers.pages_address is not None:
            say(log, logging.INFO, f"the operator's pages are on {_url(workers.pages_address)}")
        on_ready()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        workers.stop()

    def renew(_signal: int, _frame: FrameType | None) -> None:
        workers.renew()

    previous = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: renew}
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        workers.run(announce)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(workers: list[_Worker], seconds: float) -> None:
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + seconds
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        _close(worker.process)


def _close(process: subprocess.Popen[str]) -> None:
    for end in (process.stdin, process.stdout):
        if end is not None:
            with contextlib.suppress(BrokenPipeError):  # of orders that the worker ended without reading
                end.close()
