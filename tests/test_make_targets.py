"""make's test targets: one of which nothing ran is no success."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ONE_SKIPS = """
import pytest

def test_needs():
    pytest.skip("no such tool on this machine")

def test_else():
    {other}
"""


def run(*arguments: str | Path, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ROOT, *arguments],
        cwd=ROOT, env=os.environ | changed, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("other", "flags", "status"),
    [
        ("pytest.skip('nor another')", ("--must-run",), 1),
        ("pytest.skip('nor another')", (), 0),
        ("pass", ("--must-run",), 0),
        ("assert False", ("--must-run",), 1),
    ],
)
def test_skipped_tests_alone_are_no_success(
    tmp_path: Path, other: str, flags: tuple[str, ...], status: int
) -> None:
    (tmp_path / "conftest.py").write_text("from must_run import *")
    (tmp_path / "test_needs.py").write_text(ONE_SKIPS.format(other=other))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, tmp_path],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == status, result.stdout + result.stderr
    assert ("missing: no such tool on this machine" in result.stdout) == ("skip" in other and bool(flags))


def test_home_test_on_a_machine_without_its_tools_fails_and_names_them(tmp_path: Path) -> None:
    result = run("tests/home", "--must-run", PATH=str(tmp_path))
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(r"^missing: .*(debootstrap|root)", result.stdout, re.MULTILINE)


def test_engine_test_without_ray_fails_and_names_it(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('no such module')")
    result = run("tests/engine", "--must-run", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert result.returncode, result.stdout + result.stderr
    assert re.search(r"^missing: .*extra 'ray'", result.stdout, re.MULTILINE)


def test_every_target_with_needs_must_run() -> None:
    text = (ROOT / "Makefile").read_text()
    folders = [path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")]
    assert {"home", "network", "browser"} <= set(folders)
    for folder in set(folders):
        assert f"pytest tests/{folder} --must-run " in text, folder
