"""What systemd's units forbid of memory, and the commands that they run: under the same rule, set by prctl."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from batch_tools import settings_for
from unit_files import SYSTEMD, unit
from worlds import World, small_town

from pipeline.batch import jobs
from serving.pages.own_commands import LastingCommand

# PR_SET_MDWE and PR_GET_MDWE, since Linux 6.3: memory is writable or executable, and never becomes executable.
SET_MDWE, GET_MDWE = 65, 66
WITHIN = f"""
import ctypes, os, sys
assert ctypes.CDLL(None).prctl({SET_MDWE}, 1, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    made = small_town()
    data_dir = made.write(tmp_path_factory.mktemp("town"))
    jobs.run(settings_for(data_dir), "all")
    return data_dir, made


def as_unit(part: str, data_dir: Path, arguments: list[str]) -> list[str]:
    """Return a command that runs another under the terms of a unit."""
    service = unit(SYSTEMD / f"foryou-{part}.service")["Service"]
    env = commands.environment(data_dir)
    env.pop("POLARS_SKIP_CPU_CHECK", None)
    env |= {
        name: value
        for name, _, value in (line.partition("=") for line in service.get("Environment", ()))
        if name != "NUMBA_CACHE_DIR"  # that folder is the unit's
    }
    if service.get("MemoryDenyWriteExecute") == ["yes"]:
        if sys.platform != "linux" or ctypes.CDLL(None).prctl(GET_MDWE, 0, 0, 0, 0) < 0:
            pytest.skip("no PR_SET_MDWE in this kernel")
        arguments = [sys.executable, "-c", WITHIN, *arguments]
    return ["env", "-i", *(f"{name}={value}" for name, value in env.items()), *arguments]


def run_as(part: str, data_dir: Path, arguments: list[str]) -> str:
    """Run a command under the terms of a unit; return what it prints."""
    command = as_unit(part, data_dir, arguments)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_a_backup_is_taken(town: tuple[Path, World], tmp_path: Path) -> None:
    run_as("backup", town[0], commands.command("backup", str(tmp_path / "copies")))
    [copy] = (tmp_path / "copies").glob("*Z")
    assert (copy / "backup.json").exists()


def test_ingest_can_store_what_an_archive_has(town: tuple[Path, World]) -> None:
    imported = "import pipeline.ingest.service, pipeline.backfill.archived_days"
    run_as("ingest", town[0], [sys.executable, "-c", imported])


def test_the_web_app_can_say_why_and_give_ones_data(town: tuple[Path, World]) -> None:
    data_dir, made = town
    # As the web app asks it: it ends when its standard input does, whether it has answered or not.
    why = LastingCommand(as_unit("serve", data_dir, commands.command("explain", "--why", "--json", "-")))
    try:
        found = why.ask({"viewer": made.did("ann"), "set": {}, "public": False}, 300)
    finally:
        why.close()
    assert found["viewer"] == made.did("ann")
    assert len(found["posts"]) > 0
    assert json.loads(run_as("serve", data_dir, commands.command("viewer", "export", made.did("ann"))))
