"""Which engine a setting names, and what is said where it can't be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import World

from pipeline.errors import SettingError
from pipeline.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]


def test_without_ray_its_engine_is_one_line_and_all_else_works(tmp_path: Path) -> None:
    world = World().post("p", by="bob").like("ann", "p", hours_ago=0.5).like("zoe", "p", hours_ago=0.4)
    world.write(tmp_path / "data")
    (tmp_path / "ray.py").write_text("raise ImportError('no such module')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    for engine, status in (("ray", 1), ("local", 0)):
        result = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "batch", "--data-dir", "data", "--engine", engine],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == status, result.stderr
        assert ("pip install 'foryou[ray]'" in result.stderr.splitlines()[-1]) == (status == 1)


@pytest.mark.parametrize("address", ["10.0.0.5", "http://10.0.0.5:6379", "host:port"])
def test_an_address_of_an_engine_is_host_and_port(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingError, match="expected HOST:PORT"):
        load_settings({"engine_address": address}, {}, tmp_path)
    assert load_settings({"engine_address": "10.0.0.5:6379"}, {}, tmp_path).engine_address == "10.0.0.5:6379"
