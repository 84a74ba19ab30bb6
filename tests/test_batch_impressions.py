"""A closed day of impressions is in the lake whole, once, and leaves activity.sqlite; wherever the step is
stopped."""

import sqlite3
from pathlib import Path

import duckdb
import pytest
from serving_worlds import flush, plc_did, post_uri

from pipeline.lake.impressions import impressions
from pipeline.store.model import DAY_US, HOUR_US
from serving.viewers.activity_queue import ShownPage
from serving.viewers.activity_writer import ActivityWriter
from sql import places

DAY = 20_600
NOW_US = DAY * DAY_US + 5 * HOUR_US


def page(viewer: int, at_us: int, posts: list[int], start: int = 1) -> ShownPage:
    uris = [post_uri(post) for post in posts]
    return ShownPage(plc_did(viewer), "for-you", 41, start, uris, [1] * (len(posts) - 1) + [2], at_us)


def written(data_dir: Path) -> ActivityWriter:
    """Write three pages of yesterday and one of today."""
    writer = ActivityWriter(data_dir / "activity.sqlite", now=lambda: NOW_US / 1e6)
    yesterday = NOW_US - DAY_US
    writer.record(
        [
            page(2, yesterday, [5, 6]),
            page(1, yesterday + 1, [1, 2, 3]),
            page(1, yesterday + 2, [4, 7], start=4),
            page(1, NOW_US, [8, 9]),
        ]
    )
    assert flush(writer)
    return writer


def rows(path: Path) -> list[tuple[object, ...]]:
    columns = "viewer_did, post_uri, feed_rkey, generation, position, source, served_us, variant"
    return duckdb.sql(f"SELECT {columns} FROM read_parquet('{path}', hive_partitioning = false)").fetchall()


def test_a_closed_day_becomes_one_file_sorted_by_viewer(tmp_path: Path):
    written(tmp_path).close()
    with duckdb.connect() as connection:
        steps = list(impressions(tmp_path, connection, NOW_US))
        assert steps == [("write impressions 2026-05-26", 7), ("commit impressions 2026-05-26", 7)]
        assert list(impressions(tmp_path, connection, NOW_US)) == []
    at_us = NOW_US - DAY_US
    expected = [
        (plc_did(viewer), post_uri(post), "for-you", 41, position, source, served_us, "")
        for viewer, post, position, source, served_us in (
            (1, 1, 1, 1, at_us + 1),
            (1, 2, 2, 1, at_us + 1),
            (1, 3, 3, 2, at_us + 1),
            (1, 4, 4, 1, at_us + 2),
            (1, 7, 5, 2, at_us + 2),
            (2, 5, 1, 1, at_us),
            (2, 6, 2, 2, at_us),
        )
    ]
    expected.sort(key=lambda row: (row[0], row[6], row[4]))
    assert rows(places.impressions(tmp_path, DAY - 1)) == expected


def test_the_web_app_removes_a_day_once_its_file_exists(tmp_path: Path):
    written(tmp_path).close()
    with duckdb.connect() as connection:
        step = impressions(tmp_path, connection, NOW_US)
        assert next(step)[0] == "write impressions 2026-05-26"  # here the batch is killed
        writer = ActivityWriter(tmp_path / "activity.sqlite", now=lambda: NOW_US / 1e6)
        writer.record([page(3, NOW_US, [1])])
        assert writer.close()
        with sqlite3.connect(tmp_path / "activity.sqlite") as activity:
            assert activity.execute("SELECT count(*) FROM impression_pages").fetchone() == (5,)
        assert places.impression_days(tmp_path) == set()
        list(impressions(tmp_path, connection, NOW_US))
    assert len(rows(places.impressions(tmp_path, DAY - 1))) == 7
    writer = ActivityWriter(tmp_path / "activity.sqlite", now=lambda: NOW_US / 1e6)
    writer.record([page(3, NOW_US, [1])])
    assert writer.close()
    with sqlite3.connect(tmp_path / "activity.sqlite") as activity:
        days = activity.execute("SELECT served_us / 86400000000 FROM impression_pages").fetchall()
    assert days == [(DAY,)] * 3


def test_a_day_closes_an_hour_after_its_end(tmp_path: Path):
    written(tmp_path).close()
    with duckdb.connect() as connection:
        assert list(impressions(tmp_path, connection, DAY * DAY_US + HOUR_US - 1)) == []
        assert len(list(impressions(tmp_path, connection, DAY * DAY_US + HOUR_US))) == 2


def test_old_days_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written(tmp_path).close()
    with duckdb.connect() as connection:
        list(impressions(tmp_path, connection, NOW_US))
        monkeypatch.setattr(places, "ACTIVITY_DAYS", 3)
        assert list(impressions(tmp_path, connection, NOW_US + 2 * DAY_US))[:1] != [
            ("remove impressions 2026-05-26", 0)
        ]
        steps = list(impressions(tmp_path, connection, NOW_US + 3 * DAY_US))
    assert ("remove impressions 2026-05-26", 0) in steps
    assert not places.impressions(tmp_path, DAY - 1).parent.exists()


def test_without_a_store_there_is_nothing_to_do(tmp_path: Path):
    with duckdb.connect() as connection:
        assert list(impressions(tmp_path, connection, NOW_US)) == []
        sqlite3.connect(tmp_path / "activity.sqlite").execute("CREATE TABLE x (y)").close()
        assert list(impressions(tmp_path, connection, NOW_US)) == []
    assert places.impression_days(tmp_path) == set()
