"""Running ``foryou`` commands as a user does: processes, signals, exit status."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Return an environment with these settings alone: environment(path, stream_url='ws://…').

    No labeler is followed unless the settings name one: the default is on the public network.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FORYOU_")}
    named = {f"FORYOU_{name.upper()}": value for name, value in {"labelers": "", **settings}.items()}
    return {**kept, "FORYOU_DATA_DIR": str(data_dir), **named}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", *arguments]


def run(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, seconds: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), env=env, cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
    )


@contextmanager
def running(
    *arguments: str, env: Mapping[str, str], log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs; it is killed at the end if it still lives."""
    with (log or Path(os.devnull)).open("ab") as stderr:
        process = subprocess.Popen(command(*arguments), env=env, stderr=stderr, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def stop(process: subprocess.Popen[bytes], seconds: float = 120) -> int:
    """Ask a process to stop as systemd does; return its exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(seconds)
