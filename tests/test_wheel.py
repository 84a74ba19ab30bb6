"""The wheel of ``make dist`` has all files that the program reads, and runs without this folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "serving", "sql")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    sources, made = (tmp_path_factory.mktemp(name) for name in ("sources", "made"))
    for name in PACKAGES:
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(made), str(sources)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (path,) = made.glob("foryou-*.whl")
    return path


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files


def test_it_runs_where_nothing_else_is(wheel: Path, tmp_path: Path) -> None:
    """With the packages of the wheel and not of this folder: the command, and files that it reads."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "PYTHONSAFEPATH": "1"}

    def foryou(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli", *words]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    version = foryou("--version")
    assert version.stdout.startswith("foryou ") and version.returncode == 0, version.stderr
    places = "import pipeline, serving, sql; print(pipeline.__file__, serving.__file__, sql.__file__)"
    command = [sys.executable, "-c", places]
    asked = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    where = asked.stdout.split()
    assert all(path.startswith(str(tmp_path / "installed")) for path in where)
    made = foryou("batch", "--data-dir", str(tmp_path / "data"))
    assert "run 'foryou ingest' first" in made.stderr, made.stderr
