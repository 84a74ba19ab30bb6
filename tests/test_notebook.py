"""The analysts' notebook runs from the stores to plots, and what it plots is true."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from analyst_answers import ANSWERS
from analyst_store import FEED, SECOND, Store
from query_cases import same

pytest.importorskip("marimo", reason="the extra notebook is not installed")
ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "likes_to_plots.py"
PLOTS = ("hours_plot", "places_plot", "retention_plot", "pages_plot")


@pytest.fixture(scope="module")
def found(analysts: Store) -> Any:
    """What the notebook's cells define once all have run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORYOU_DATA_DIR", str(analysts.data_dir))
        spec = importlib.util.spec_from_file_location("likes_to_plots", NOTEBOOK)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _, defined = module.app.run()
        return defined


def test_its_frames_are_what_is_true(analysts: Store, found: Any) -> None:
    same(found["likes_per_hour"].rows(), ANSWERS["likes_per_hour"](analysts, hours=48))
    same(found["by_position"].rows(), ANSWERS["like_rate_by_position"](analysts, places=15))
    same(found["retention"].rows(), ANSWERS["retention_by_day"](analysts, days=14))
    lists = {FEED: analysts.lists, SECOND: analysts.lists_of_second}
    pages = {(row["feed"], row["viewer_did"]): row for row in found["pages"].iter_rows(named=True)}
    assert pages.keys() == {(feed, viewer) for feed, mine in lists.items() for viewer in mine}
    for (feed, viewer), row in pages.items():
        items = lists[feed][viewer][:30]
        assert row["posts"] == len(items)
        assert row["authors"] == len({item[0].split("/")[2] for item in items})
        assert row["popular_share"] == pytest.approx(sum(item[3] == 2 for item in items) / len(items))


@pytest.mark.parametrize("name", PLOTS)
def test_its_plots_are_drawn_from_them(found: Any, name: str) -> None:
    """A chart that Vega-Lite would refuse can't be turned into its text; the rows are in it."""
    drawn = found[name].to_dict()
    assert sum(map(len, drawn["datasets"].values())) > 3
    assert drawn["$schema"].startswith("https://vega.github.io/schema/vega-lite/")


def test_it_runs_without_a_browser(analysts: Store) -> None:
    settings = {**os.environ, "FORYOU_DATA_DIR": str(analysts.data_dir), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, str(NOTEBOOK)], env=settings, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
