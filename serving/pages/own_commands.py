"""Commands of ours that the web app runs beside itself, which answer with JSON: once, or line by line.

Owns: starting them, asking within a time and a size, ending them. Leaves to others: what they are for, and whose
turn it is (``explainer``, ``me``).

They end when their standard input does, so when this process ends, however it ends.
"""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

DEADLINE_SECONDS = 30.0
OUTPUT_MAX_BYTES = 2_000_000


class CommandError(Exception):
    """There is no answer; the text says why, for a page. ``busy``: try again in a moment."""

    def __init__(self, text: str = "this can't be worked out just now", *, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


class EndedError(CommandError):
    """The command has ended, or never began."""


class LastingCommand:
    """A command that answers each line of JSON with another; for one thread at a time."""

    def __init__(self, arguments: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise EndedError from error
        _free_from_core(self._process.pid)

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Return the answer; CommandError when there is none within some seconds, EndedError when it has ended."""
        deadline = time.monotonic() + seconds
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(orjson.dumps(request) + b"\n")
        except OSError as error:
            raise EndedError from error
        descriptor, answer = self._process.stdout.fileno(), bytearray()
        ready = select.poll()
        ready.register(descriptor, select.POLLIN)
        while not answer.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not ready.poll(left * 1e3):
                raise _too_long(seconds)
            part = os.read(descriptor, 1 << 16)
            if not part:
                raise EndedError
            answer += part
            if len(answer) > OUTPUT_MAX_BYTES:
                raise CommandError("the answer is too long")
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise CommandError from error
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        with contextlib.suppress(OSError):  # what it never read
            self._process.communicate()


def run_json(arguments: list[str], most_bytes: int) -> dict[str, Any]:
    """Return what a command prints; raise CommandError."""
    pipe = subprocess.PIPE
    reading, writing = os.pipe()
    try:
        started = subprocess.Popen(arguments, stdin=reading, stdout=pipe, stderr=pipe)
    except OSError as error:
        os.close(writing)
        raise CommandError from error
    finally:
        os.close(reading)
    with started as process, open(writing, "wb"):
        _free_from_core(process.pid)
        try:
            output, errors = process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise _too_long(DEADLINE_SECONDS) from error
        finally:
            process.kill()
    if process.returncode != 0:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        clear = process.returncode == 1 and last.startswith("foryou: ")
        raise CommandError(last.removeprefix("foryou: ")[:500]) if clear else CommandError
    if len(output) > most_bytes:
        raise CommandError("the answer is too long")
    found = orjson.loads(output)
    return found if isinstance(found, dict) else {}


def _too_long(seconds: float) -> CommandError:
    return CommandError(f"this takes more than {seconds:.0f} seconds with so many likes", busy=True)


def _free_from_core(process_id: int) -> None:
    """Let a command run on any core: a worker stays on one, its children need not."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(process_id, range(os.cpu_count() or 1))
