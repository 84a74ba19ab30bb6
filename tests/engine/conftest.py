"""The store that engines are tried on, and what one process makes of it."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine.engine_tools import finish, list_rows, make_store, neighbour_rows, start


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
def expected(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, list[Any]]:
    """The neighbours that one process finds, and the lists that it makes of them."""
    folder = Path(shutil.copytree(stored, tmp_path_factory.mktemp("local") / "data"))
    for job in ("neighbours", "candidates"):
        finish(start(folder, job), folder)
    return neighbour_rows(folder), list_rows(folder)
