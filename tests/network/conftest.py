"""A real PLC directory and PDS for this folder's tests, started once."""

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ATNET = Path(__file__).resolve().parents[3] / "shared" / "atnet"
INSTALLED = Path(os.environ.get("FORYOU_ATNET_DIR", Path(tempfile.gettempdir()) / "foryou-atnet"))


@dataclass
class Network:
    """A running network: its addresses, and ``control('likes', likes=[…])``.

    ``appview`` and ``labeler``, a DID, are "" when it has none.
    """

    plc: str
    pds: str
    firehose: str
    control: Callable[..., Any]
    appview: str = ""
    labeler: str = ""


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    if not ATNET.is_dir():
        pytest.skip(f"the recipe of a real network is not at {ATNET}")
    if not (INSTALLED / "net" / "node_modules").is_dir():
        subprocess.run([ATNET / "setup.sh", INSTALLED], check=True, timeout=600)
    # An AppView needs Debian's postgresql and redis-server.
    whole = shutil.which("redis-server") and list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    started = subprocess.run(
        [ATNET / "start.sh", INSTALLED, *(["--full"] if whole else [])],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    addresses = json.loads(started.stdout)
    spec = importlib.util.spec_from_file_location("atnet_control", ATNET / "ctl.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        yield Network(
            addresses["plc"],
            addresses["pds"],
            addresses["firehose"],
            module.Ctl(addresses["control"]),
            addresses.get("bsky") or "",
            addresses.get("ozoneDid") or "",
        )
    finally:
        subprocess.run([ATNET / "stop.sh", INSTALLED], check=False, timeout=60)
