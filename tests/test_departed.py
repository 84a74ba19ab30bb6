"""What becomes of a deleted account: its list and all it did go, here and in the web app's store."""

import sqlite3
from pathlib import Path

from worlds import NOW_US, World

from pipeline.batch.jobs import run
from pipeline.batch.publish.deleted_accounts import remove_deleted_accounts
from pipeline.settings import load_settings
from serving.viewers.activity_retention import ActivityRetention
from sql.sqlite import connect


def small_world() -> World:
    world = World()
    for liker in ("ann", "bob", "cat"):
        for number in range(6):
            world.post(f"p{number}", by=f"author{number}", hours_ago=9)
            world.like(liker, f"p{number}", hours_ago=8 - number if liker == "ann" else 7 - number / 2)
    for liker in ("bob", "cat"):
        world.post(f"only-{liker}", by="dan", hours_ago=5).like(liker, f"only-{liker}", hours_ago=2)
    for viewer in ("ann", "bob", "cat"):
        world.visit(viewer, hours_ago=1)
    return world


def numbers(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def viewers_with_lists(data_dir: Path) -> set[object]:
    query = "SELECT DISTINCT did FROM lists JOIN viewers USING (viewer_id)"
    return {row[0] for row in numbers(data_dir / "serving.sqlite", query)}


def test_lists_and_activity_of_a_deleted_account_go(tmp_path: Path) -> None:
    world = small_world()
    world.write(tmp_path)
    settings = load_settings({"data_dir": str(tmp_path)}, {}, tmp_path)
    run(settings, "all", clock=lambda: NOW_US / 1e6)
    assert {world.did("ann"), world.did("bob")} <= viewers_with_lists(tmp_path)

    world.delete_account("ann", hours_ago=0.1).write(tmp_path)
    run(settings, "compact", clock=lambda: NOW_US / 1e6)
    assert world.did("ann") not in viewers_with_lists(tmp_path)
    assert world.did("bob") in viewers_with_lists(tmp_path)
    assert numbers(tmp_path / "serving.sqlite", "SELECT viewer_did FROM deleted_viewers") == [
        (world.did("ann"),)
    ]

    activity = connect(tmp_path / "activity.sqlite")
    later_us = NOW_US + 1
    page = "INSERT INTO impression_pages VALUES (NULL, ?, 'for-you', 1, 1, '[]', '', '', ?)"
    for viewer in ("ann", "bob"):
        activity.execute(page, (world.did(viewer), NOW_US - 3_600_000_000))
        activity.execute(page, (world.did(viewer), later_us))
    ActivityRetention(tmp_path, now=lambda: NOW_US / 1e6).prune(activity, [], 0)
    assert activity.execute("SELECT viewer_did FROM visits ORDER BY 1").fetchall() == [
        (world.did("bob"),),
        (world.did("cat"),),
    ]
    left = activity.execute("SELECT viewer_did, served_us FROM impression_pages ORDER BY 1, 2").fetchall()
    # What came after the deletion is of an account that is back.
    assert (world.did("ann"), later_us) in left
    assert len(left) == 3
    activity.close()


def test_without_deletions_nothing_is_done(tmp_path: Path) -> None:
    small_world().write(tmp_path)
    serving = connect(tmp_path / "serving.sqlite")
    assert list(remove_deleted_accounts(tmp_path, serving)) == []
    serving.close()
