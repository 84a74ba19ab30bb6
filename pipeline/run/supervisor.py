"""Child processes under one parent: started, watched, restarted, and stopped together.

Owns: ``Supervisor``, and how a child ends with its parent. Leaves to others: what the children do.

Invariant: no child outlives its parent. Each child's standard input is a pipe from the parent. When the parent
ends, however it ends, the pipe closes and the child stops as at SIGTERM.

A child says that it is up as it says so to systemd (``notify``), over a socket of its own. One that fails before it
ever was up would fail again: a port is in use, or a store can't be opened. That ends the parent, however long it took.
One that was up is started again, as often as it takes.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.backoff import pause_seconds
from pipeline.errors import PipelineError
from pipeline.notify import service_manager
from pipeline.settings import CONFIG_NAMES, PREFIX, Settings
from sql.temporary_folders import temporary_folder

log = logging.getLogger("foryou.up")

STOP_SECONDS = 4.0
GIVES_UP = (1, 2)  # the statuses of a command that failed by itself, with a line that says why
FIRST_PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0  # a child that lived longer did not crash at its start


def foryou_command(*arguments: str) -> list[str]:
    """Return the command line that runs this installation's ``foryou`` as a child."""
    return [sys.executable, "-m", "pipeline.cli", *arguments]


def stop_with_parent() -> None:
    """Send this process SIGTERM when its standard input ends; for a child of ``Supervisor``."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="stop-with-parent", daemon=True).start()


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a child sees the same settings, wherever they came from."""
    service_manager()  # removes the variables with which a child would report to systemd as this process
    others = {
        name: value
        for name, value in os.environ.items()
        if name in CONFIG_NAMES or not name.startswith(PREFIX)
    }
    return others | settings.environment()


@dataclass(slots=True)
class _Child:
    arguments: tuple[str, ...]
    secrets: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    notices: socket.socket | None = None  # where it says that it is up
    was_up: bool = False  # now or before
    started_at: float = 0.0
    starts: int = 0
    due_at: float = 0.0

    @property
    def name(self) -> str:
        return self.arguments[0]


class Supervisor:
    """Runs ``foryou`` commands as children until ``request_stop``; restarts what crashes, after a growing pause.

    The children log to ``log_file``, or to this process's standard error.
    """

    def __init__(self, environment: Mapping[str, str], log_file: Path | None = None) -> None:
        self._environment = environment
        self._log_file = log_file
        self._children: list[_Child] = []
        self._stopping = threading.Event()
        self._folder = temporary_folder("up")  # of the children's sockets

    def add(self, *arguments: str, secrets: Mapping[str, str] | None = None) -> None:
        """Add a child, ``foryou ARGUMENTS``; ``run`` starts it, also while it is running already.

        ``secrets`` are variables that no other child gets.
        """
        self._children.append(_Child(arguments, secrets or {}))

    def request_stop(self) -> None:
        """Make ``run`` stop the children and return; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Watch the children until ``request_stop``, then stop them.

        Raises PipelineError when one fails soon after its first start; the child's own line says why.
        """
        try:
            for child in self._children:
                self._watch(child)
            said = False
            while not self._stopping.wait(0.1):
                service_manager().alive()
                for child in self._children:
                    self._watch(child)
                if not said and all(child.was_up for child in self._children):
                    said = True
                    service_manager().ready()
        finally:
            self._stop()
            self._folder.close()

    def _stop(self) -> None:
        """Stop every child: SIGTERM, and after STOP_SECONDS SIGKILL."""
        running = [(child.name, child.process) for child in self._children if child.process is not None]
        for _, process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for name, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop within %.0f s; killing it", name, STOP_SECONDS)
                process.kill()
                process.wait()
            _close_pipe(process)
        for child in self._children:
            if child.notices is not None:
                child.notices.close()

    def _watch(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due_at:
                self._start(child)
            return
        code = child.process.poll()
        child.was_up = child.was_up or _says_ready(child.notices)
        if code is None:
            return
        _close_pipe(child.process)
        child.process = None
        lived = now - child.started_at
        if code in GIVES_UP and not child.was_up:
            raise PipelineError(f"{child.name} could not start; its own line above says why")
        if lived > STEADY_SECONDS:
            child.starts = 1
        pause = pause_seconds(child.starts - 1, FIRST_PAUSE_SECONDS, PAUSE_MAX_SECONDS)
        child.due_at = now + pause
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        log.warning("%s %s after %.0f s; starting it again in %.1f s", child.name, ended, lived, pause)

    def _start(self, child: _Child) -> None:
        if child.notices is None:
            child.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            child.notices.setblocking(False)
            child.notices.bind(self._address_of(child))
        with ExitStack() as stack:
            stderr = None if self._log_file is None else stack.enter_context(self._log_file.open("ab"))
            child.process = subprocess.Popen(
                foryou_command(*child.arguments, "--with-parent"),
                stdin=subprocess.PIPE,
                stderr=stderr,
                env={**self._environment, **child.secrets, "NOTIFY_SOCKET": self._address_of(child)},
            )
        child.started_at = time.monotonic()
        child.starts += 1

    def _address_of(self, child: _Child) -> str:
        return str(self._folder.path / child.name)


def _says_ready(notices: socket.socket | None) -> bool:
    try:
        return notices is not None and notices.recv(64).startswith(b"READY=1")
    except BlockingIOError:
        return False


def run_child(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stopping: threading.Event,
    niceness: int = 10,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Run one ``foryou`` command to its end, or to ``stopping``; return its exit status.

    ``alive`` is called many times a second meanwhile.

    It runs at a lower priority, so that a batch takes only what ingest and serve leave of the processors.
    """
    command = ["nice", "-n", str(niceness), *foryou_command(*arguments, "--with-parent")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    try:
        while process.poll() is None:
            alive()
            if stopping.wait(0.1):
                # The batch may be killed at any moment: no reader sees unfinished work.
                process.kill()
                break
        return process.wait()
    finally:
        _close_pipe(process)


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
