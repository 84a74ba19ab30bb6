"""What every test may use: the shared data, where it is present, and the analysts' store, made once."""

from pathlib import Path

import pytest
from analyst_store import Store, build

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
