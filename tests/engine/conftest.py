"""The store that engines are tried on, and what one process makes of it."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from engine_tools import finish, make_store, neighbour_rows, start

pytest.importorskip("ray", reason="the extra 'ray' is not installed")


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "data"
    make_store(folder)
    return folder


@pytest.fixture
def data_dir(stored: Path, tmp_path: Path) -> Path:
    """The store, for one test."""
    return Path(shutil.copytree(stored, tmp_path / "data"))


@pytest.fixture(scope="session")
def expected(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The neighbours that one process finds."""
    folder = Path(shutil.copytree(stored, tmp_path_factory.mktemp("local") / "data"))
    finish(start(folder, "neighbours"), folder)
    return neighbour_rows(folder)
