"""The lists of a week: the first of each day are kept, and ``list_changes`` says what changed since."""

import shutil
from pathlib import Path

import pytest
from batch_tools import settings_for
from worlds import NOW_US, World

from pipeline.batch import jobs
from pipeline.explore import after_batch, queries, session
from pipeline.explore.queries import QueryError
from pipeline.store.analyst_snapshot import current_snapshot, make_snapshot
from pipeline.store.model import DAY_US

RANKING = {"crowd_weight": 0.0, "left_out_weight": 0.0}
CROWD = ("bob", "cat", "dan")


def lists_of(folder: Path, day: int, liked: tuple[str, ...], before: Path | None = None) -> Path:
    """Run a batch so many days later, when the crowd has just liked these posts; return the data directory."""
    world = World(NOW_US + day * DAY_US)
    for name in ("ann", *CROWD):
        world.like(name, "old1", hours_ago=60).like(name, "old2", hours_ago=50)
    for post in ("p1", "p2", "p3"):
        world.post(post, by=f"author of {post}", hours_ago=5)
    for place, post in enumerate(liked):  # the latest first
        for name in CROWD:
            world.like(name, post, hours_ago=1 + place)
    data_dir = world.write(folder / str(day))
    if before is not None:
        shutil.copytree(before / "explore", data_dir / "explore")
    settings = settings_for(data_dir, RANKING)
    jobs.run(settings, "all")
    after_batch.run(settings)
    return data_dir


def changes(data_dir: Path, **given: str) -> list[tuple[int | None, int | None, str, str]]:
    query = queries.find("list_changes")
    with session.open_session(data_dir, 1) as connection:
        rows = session.run(connection, data_dir, query, query.values({"viewer": "did:plc:ann", **given}))
    return [(*row[:3], row[3].rpartition("/")[2]) for row in rows.rows()]


def test_what_changed_since_yesterday(tmp_path: Path) -> None:
    first = lists_of(tmp_path, 0, ("p1", "p2", "p3"))
    assert [row[:3] for row in changes(first, days="0")] == [(place, place, "same") for place in (1, 2, 3)]
    second = lists_of(tmp_path, 1, ("p1", "p2", "p3"), first)
    kinds = [row[:3] for row in changes(second)]
    # A day later the posts are other posts of the same names: all of them are new, and yesterday's are out.
    assert kinds == [(1, None, "new"), (2, None, "new"), (3, None, "new")] + [
        (None, place, "out") for place in (1, 2, 3)
    ]
    assert [row[:2] for row in changes(second, rows="1")] == [(1, None), (None, 1)]


def test_a_day_keeps_its_first_lists(tmp_path: Path) -> None:
    data_dir = lists_of(tmp_path, 0, ("p1", "p2"))
    again = lists_of(tmp_path / "again", 0, ("p2", "p1", "p3"), data_dir)
    assert [(row[0], row[1], row[2]) for row in changes(again, days="0")] == [
        (1, 2, "up"), (2, 1, "down"), (3, None, "new"),
    ]  # fmt: skip


def test_a_week_is_kept(tmp_path: Path) -> None:
    data_dir = lists_of(tmp_path, 0, ("p1",))
    snapshot = current_snapshot(data_dir)
    assert snapshot is not None
    [feed] = (path.name for path in (snapshot / "daily_lists").iterdir())
    today = next((snapshot / "daily_lists" / feed).iterdir()).stem
    for day in range(1, 10):
        made = {}
        for name in ("daily_lists", "daily_posts"):
            relation = f"{name}/{feed}/day=2026-06-{day:02}"
            made[relation] = shutil.copyfile(snapshot / name / feed / f"{today}.parquet", tmp_path / name)
        newest = make_snapshot(data_dir, made)
    kept = [f"day=2026-06-{day:02}" for day in range(2, 10)]
    for name in ("daily_lists", "daily_posts"):
        assert sorted(path.stem for path in (newest / name / feed).iterdir()) == kept
    with pytest.raises(QueryError, match=r"no lists of .* are kept, only those of 2026-06-02, "):
        changes(data_dir)
