"""What every test may use: the shared data, where it is present, and the analysts' store, made once.

Owns also: the priority of the processes that tests start, and that the longest files start first.
"""

import os
from pathlib import Path

import pytest
from analyst_store import Store, build
from commands import EVEN

SHARED = Path(__file__).resolve().parents[2] / "shared"
for name, separated in (
    ("PATH", os.environ.get("PATH", os.defpath)),
    ("PYTHONPATH", os.environ.get("PYTHONPATH")),
):
    os.environ[name] = os.pathsep.join(filter(None, (str(EVEN), separated)))
# Files that last longest, the longest first. Each runs in one process, so one that starts late ends late.
LONGEST = ("test_kill.py",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; pytest-xdist gives files to its processes in this order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def real_bytes() -> Path:
    """The folder of recorded bytes of the live network; the test is skipped where it is absent."""
    folder = SHARED / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"recorded bytes of the live network are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def analysts(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A simulated store with everything analysts ask about; read it only."""
    return build(tmp_path_factory.mktemp("analysts") / "data")
