"""``foryou sql`` on a terminal of its own, typed at by a test."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import commands


class Terminal:
    """``foryou sql`` on a terminal of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.ours, theirs = pty.openpty()
        env = commands.environment(data_dir) | {"TERM": "dumb", "HOME": str(data_dir.parent)}
        self.process = subprocess.Popen(
            commands.command("sql"), env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        self.until("foryou> ")

    def until(self, text: str, seconds: float = 600) -> str:
        found, end = "", time.monotonic() + seconds
        while not found.endswith(text):
            assert time.monotonic() < end, found
            if select.select([self.ours], [], [], 0.2)[0]:
                found += os.read(self.ours, 65_536).decode().replace("\r\n", "\n")
        return found

    def type(self, line: str) -> str:
        """Type a line; return what is shown up to the next prompt."""
        os.write(self.ours, line.encode() + b"\n")
        shown = self.until("foryou> ")
        return shown.removesuffix("foryou> ").partition("\n")[2]

    def end(self) -> int:
        os.write(self.ours, b"\x04")
        status = self.process.wait(120)
        os.close(self.ours)
        return status


@contextmanager
def shell_of(data_dir: Path) -> Iterator[Terminal]:
    """Give a shell while the block runs; it is killed at the end if it still runs."""
    shell = Terminal(data_dir)
    try:
        yield shell
    finally:
        if shell.process.poll() is None:
            shell.process.terminate()
            shell.process.wait(120)
