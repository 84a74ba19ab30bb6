"""The operator's page: what the batch leaves for it, and the plots the web app draws."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from batch_tools import settings_for
from falcon.testing import Result, TestClient
from serving_worlds import FEED, ON_PAGES, SKELETON, START, Clock, ServingStore, blob, config_of, plc_did
from worlds import World

from pipeline.batch import jobs
from pipeline.explore import after_batch, dashboard_figures
from serving.app import create_app


def page(data_dir: Path, path: str = "/dashboard", **request: str) -> Result:
    client = TestClient(create_app(config_of(data_dir), now=Clock()))
    return client.simulate_get(
        path, **({"host": "localhost", "remote_addr": "127.0.0.1", "extras": ON_PAGES} | request)
    )


def test_the_batch_leaves_figures_and_the_page_draws_them(tmp_path: Path) -> None:
    world = World().post("q1", by="dan")
    for name in ("ann", "bob"):
        world.like(name, "p1", hours_ago=40).like(name, "p2", hours_ago=30).like(name, "q1", hours_ago=0.5)
    settings = settings_for(world.write(tmp_path))
    jobs.run(settings, "all")
    after_batch.run(settings)
    figures = json.loads((tmp_path / "dashboard.json").read_text())
    assert [row["likes"] for row in figures["likes_per_hour"]] == [2, 2, 2]
    assert figures["coverage"][0]["activity"] == "all"
    assert len(figures["history"]) == 1
    answer = page(tmp_path)
    assert answer.status_code == 200
    assert answer.text.count("<figure>") == 2
    assert "<dt>people with a list</dt><dd>" in answer.text
    assert "<dt>free space</dt>" in answer.text
    assert "<td>candidates</td>" in answer.text and "<td>done</td>" in answer.text
    plots = page(tmp_path, "/plots")
    assert plots.text.count("<figure>") == 8 and "foryou sql like_rate_by_source" in plots.text
    assert plots.text.count("<rect") == 3 + 2, "three hours, and two languages"
    assert ">unknown</text>" in plots.text
    for shown in (answer.text, plots.text):
        assert "<script" not in shown and "http" not in re.sub(r'href="[^"]*"', "", shown)


def test_rates_are_drawn_with_their_bounds(tmp_path: Path) -> None:
    rate = {"source": "co-likers", "like_rate": 0.25, "like_rate_low": 0.0, "like_rate_high": 0.5}
    figures = {"like_rate_by_source": [rate, rate | {"source": "popular", "like_rate_low": None}]}
    (tmp_path / "dashboard.json").write_text(json.dumps(figures))
    text = page(tmp_path, "/plots").text
    assert text.count('class="range"') == 1 and 'y1="180.0" y2="16.0"' in text, "of the whole height"
    assert "co-likers: 25 %" in text and ">popular</text>" in text and ">50 %</text>" in text


def test_refreshing_keeps_history_and_takes_little_time(tmp_path: Path) -> None:
    settings = settings_for(
        World().like("ann", "p1", hours_ago=1).like("bob", "p1", hours_ago=1).write(tmp_path)
    )
    jobs.run(settings, "all")
    assert not (tmp_path / "dashboard.json").exists()
    after_batch.run(settings)
    path = tmp_path / "dashboard.json"
    figures = json.loads(path.read_text())
    assert not dashboard_figures.refresh(settings), "it was refreshed a moment ago"
    figures["written_at"] -= 100 * figures["seconds"] + 1
    path.write_text(json.dumps(figures))
    assert dashboard_figures.refresh(settings)
    assert len(json.loads(path.read_text())["history"]) == 2
    path.write_text("{ not json")
    assert dashboard_figures.refresh(settings)


def test_a_failure_does_not_fail_the_batch(tmp_path: Path, caplog: Any) -> None:
    settings = settings_for(World().like("ann", "p1").write(tmp_path))
    after_batch.run(settings)
    assert caplog.text == "", "no run has left its copies yet, which is no failure"
    jobs.run(settings, "all")
    for copy in (tmp_path / "explore").glob("*/feed_lists/*/*.parquet"):
        copy.unlink()
    after_batch.run(settings)
    assert "were not refreshed: a copy is missing" in caplog.text


def test_it_is_for_this_machine_alone(tmp_path: Path) -> None:
    assert page(tmp_path, host="feed.example.com").status_code == 404
    assert page(tmp_path, remote_addr="192.0.2.1").status_code == 404
    off = TestClient(create_app(config_of(tmp_path, pages="off"), now=Clock()))
    assert (
        off.simulate_get("/dashboard", host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES).status_code
        == 404
    )


ODD: list[Any] = [
    None,
    [],
    "text",
    {"history": 3, "likes_per_hour": [1, None, {"hour": "no time", "likes": 5}], "written_at": "x"},
    {"history": [{"at": float("nan"), "lag_seconds": 1}, {"at": 1e300, "lag_seconds": 1}]},
    {"likes_per_hour": [{"hour": "2026-11-24 10:00:00", "likes": -1}, {"hour": 5, "likes": True}]},
    {"like_rate_by_position": [{"position": "<script>", "like_rate": "<script>"}]},
    {"languages": [{"language": "<script>", "likes": 5}, {"language": [], "likes": float("inf")}, 7]},
    {"likes_per_hour": [{"hour": "2026-11-24 10:00:00", "likes": 0}]},
]


@pytest.mark.parametrize("figures", ODD, ids=range(len(ODD)))
def test_odd_figures_are_plots_without_points(tmp_path: Path, figures: Any) -> None:
    (tmp_path / "dashboard.json").write_text(json.dumps(figures))
    for path in ("/dashboard", "/plots"):
        answer = page(tmp_path, path)
        assert answer.status_code == 200
        assert "<script" not in answer.text
    assert "No figures yet" in answer.text or "no figures yet" in answer.text


def test_without_a_file_it_says_so(tmp_path: Path) -> None:
    assert "No figures yet" in page(tmp_path, "/plots").text


def test_the_operator_sees_what_is_wrong(tmp_path: Path) -> None:
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts([1])
    store.publish(1, {plc_did(1): blob([1])}, {"": blob([1])}, at=START - 86_400)
    store.connection.execute(
        "INSERT INTO runs VALUES (1, 'candidates', 'all', '', 'product', ?, 3.5, 7, 802, 'no space left <x>')",
        (int((START - 60) * 1e6),),
    )
    store.close()
    client = TestClient(create_app(config_of(tmp_path), now=Clock()))
    here = {"host": "localhost", "remote_addr": "127.0.0.1", "extras": ON_PAGES}
    query = {"feed": FEED}
    assert client.simulate_get(SKELETON, params=query).status_code == 200
    assert client.simulate_get("/health").status_code == 503
    text = client.simulate_get("/dashboard", **here).text
    assert "failure" not in text, "what /health says of old lists is no failed request"
    assert re.search(r'class="wrong"><dt>everybody.{1,6}s lists</dt><dd>1 d ago', text)
    assert "no space left &lt;x&gt;" in text
    assert "3.5 s" in text and "802 MB" in text
    assert "<dt>feed pages, last minute</dt><dd>1<" in text
    assert re.search(r"99 % of pages within</dt><dd>[\d,]+ ms", text)


def test_without_any_store_the_operators_page_is_there(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert "<dt>lists</dt><dd>none yet" in text
    assert "<table" not in text
