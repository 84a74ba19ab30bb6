"""make's test targets: one of which nothing ran is no success."""

import os
import re
import shutil
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


def test_network_test_without_the_recipe_of_a_network_fails_and_names_it(tmp_path: Path) -> None:
    """In a copy of the tests beside which there is no recipe."""
    hidden = shutil.ignore_patterns("bench", "__pycache__")
    shutil.copytree(ROOT / "tests", tmp_path / "foryou" / "tests", ignore=hidden)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "foryou")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/network", "--must-run"],
        cwd=tmp_path / "foryou", env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(r"^missing: the recipe of a real network is not at ", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(("there", "named"), [(False, "extra 'browser'"), (True, "Chromium")])
def test_browser_test_without_a_browser_fails_and_names_it(tmp_path: Path, there: bool, named: str) -> None:
    for name, module in (("playwright", "sync_api"), ("axe_playwright_python", "sync_playwright")):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("" if there else "raise ModuleNotFoundError('no such module')")
        (package / f"{module}.py").write_text("Axe = None")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = run("tests/browser", "--must-run", PYTHONPATH=paths, PATH=str(tmp_path), FORYOU_CHROMIUM="")
    assert result.returncode, result.stdout + result.stderr
    assert named in result.stdout + result.stderr


def test_every_target_with_needs_must_run() -> None:
    text = (ROOT / "Makefile").read_text()
    folders = [path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")]
    assert {"home", "network", "browser"} <= set(folders)
    for folder in set(folders):
        assert f"pytest tests/{folder} --must-run " in text, folder
