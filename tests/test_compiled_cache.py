"""Machine code that another version of the program left on the disk stops nobody."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOOPS = """
from typing import Any, NamedTuple

import numpy as np

from pipeline.batch.kernel import compiled


class {name}(NamedTuple):
    values: Any


@compiled
def total(numbers):
    result = 0.0
    for value in numbers.values:
        result += value
    return result


print(total({name}(np.arange(4.0))), sum(total.stats.cache_hits.values()))
"""


def run(folder: Path, name: str) -> str:
    """Run a compiled loop over a tuple of this name; return what it prints."""
    (folder / "loops.py").write_text(LOOPS.format(name=name))
    env = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": f"{folder}:{ROOT}"}
    command = [sys.executable, "-c", "import loops"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_class_that_was_renamed_is_compiled_anew(tmp_path: Path) -> None:
    assert run(tmp_path, "Before") == "6.0 0"
    assert run(tmp_path, "Before") == "6.0 1"  # the cache is of use at all
    assert run(tmp_path, "After") == "6.0 0"
    assert run(tmp_path, "After") == "6.0 1"
