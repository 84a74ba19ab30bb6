"""Running ``foryou`` commands as a user does: processes, signals, exit status.

Owns: starting them. A command that is run to its end (``run``) is a fork of a process that has the modules already:
to import them takes longer than most of what tests let commands do. What runs beside a test (``running``), and what is
measured (``run_program``), is started as a user starts it.
"""

import atexit
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

EVEN = Path(__file__).parent / "even"  # what gives every process of a test the same priority
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "batch_tools",
        "pipeline.cli",
        "pipeline.backfill.archived_days",
        "pipeline.backfill.command",
        "pipeline.backfill.fetch_waiting",
        "pipeline.backfill.file_of_lines",
        "pipeline.batch.jobs",
        "pipeline.explore.after_batch",
        "pipeline.explore.command",
        "pipeline.explore.explain_command",
        "pipeline.ingest.service",
        "pipeline.operate.backup.restore",
        "pipeline.operate.backup.take",
        "pipeline.operate.doctor.command",
        "pipeline.operate.feed_record.command",
        "pipeline.operate.status.show",
        "serving.identity.repository_reader",
    ]
)


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Return an environment with these settings alone: environment(path, stream_url='ws://…').

    No labeler is followed and nobody's profile is asked for unless the settings say so: the defaults are on the public
    network.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FORYOU_")}
    named = {
        f"FORYOU_{name.upper()}": value
        for name, value in {"labelers": "", "ask_profiles": "off", **settings}.items()
    }
    return {**kept, "FORYOU_DATA_DIR": str(data_dir), **named}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", *arguments]


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 600,
    constants: Mapping[str, float] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``constants`` are other values for names of modules, by their dotted names."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder, name) for name in ("out", "err"))
        variables = dict(os.environ if env is None else env)
        process = FORKS.Process(
            target=_run_here, args=(arguments, variables, cwd or Path.cwd(), out, err, constants or {})
        )
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command(*arguments), seconds, out.read_bytes(), err.read_bytes())
        return subprocess.CompletedProcess(
            command(*arguments), process.exitcode, out.read_text(), err.read_text()
        )


def run_program(*arguments: str, env: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, started as a user starts it."""
    return subprocess.run(
        command(*arguments), env=env, capture_output=True, text=True, timeout=seconds, check=False
    )


def _run_here(
    arguments: tuple[str, ...],
    env: dict[str, str],
    cwd: Path,
    out: Path,
    err: Path,
    constants: Mapping[str, float],
) -> None:
    """Be the command's process."""
    from pipeline.cli import main

    runpy.run_path(str(EVEN / "sitecustomize.py"))
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    try:
        sys.exit(main(arguments))
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


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
