"""A day of the lake brought up to date: what was undone leaves, what readers see is right at every moment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from lake_tools import FIRST_DAY, SmallStore, did, hour, post

from pipeline.errors import StoreError
from pipeline.identifiers import tid_at, tid_from_int
from pipeline.lake import day_files
from pipeline.lake.held import held_lake
from pipeline.lake.reader import read_like_records
from pipeline.store.arrow import reading
from pipeline.store.model import NAMED_DAY
from sql import places

LIKERS = ("ann", "bob", "cat", "dan")


def four_days(data_dir: Path) -> SmallStore:
    """Four likers over four closed days, in the lake; landing.sqlite has let go of them."""
    store = SmallStore(data_dir)
    for day in range(4):
        for place, liker in enumerate(LIKERS):
            store.like(liker, f"p{day}", hour(24 * day + 5 + place))
    store.come_to(hour(98)).compact()
    return store.purge()


def look_through(store: SmallStore) -> list[str]:
    """Read every day whole, a run each, and return what changed."""
    steps = []
    for _ in range(4):
        for day in range(4):
            likes = places.likes(store.data_dir, FIRST_DAY + day)
            os.utime(likes, (likes.stat().st_mtime - 100_000,) * 2)
        steps += store.compact()
    return [step for step in steps if step != "clear"]


def test_an_undone_like_leaves_its_file_when_it_is_one_of_few(tmp_path: Path) -> None:
    store = four_days(tmp_path)
    before = store.likes()
    store.unlike("ann", "p1", hour(99))
    wanted = [one for one in before if one != ("ann", "p1")]
    assert store.likes() == wanted
    assert "change" in " ".join(store.compact())
    assert store.purge().likes() == wanted
    assert store.in_file(1) == 4, "a word that a record is gone does not read the likes"
    store.fold(1, look=True)
    assert store.in_file(1) == 3
    assert store.likes() == wanted
    assert look_through(store) == []


def test_a_few_undone_are_not_worth_a_rewrite(tmp_path: Path) -> None:
    store = SmallStore(tmp_path)
    for number in range(200):
        store.like(f"l{number}", "p1", hour(5 + number / 1000))
    store.come_to(hour(26)).compact()
    store.purge().unlike("l3", "p1", hour(27))
    likes, _ = store.files(0)
    before = likes.read_bytes()
    store.compact()
    store.fold(0, look=True)
    assert likes.read_bytes() == before
    assert len(store.likes()) == 199


def test_what_a_deleted_account_liked_leaves_every_day(tmp_path: Path) -> None:
    store = four_days(tmp_path).delete_account("bob", hour(99))
    wanted = [one for one in store.likes() if one[0] != "bob"]
    assert len(wanted) == 12 and store.likes() == wanted
    look_through(store)
    assert [store.in_file(day) for day in range(4)] == [3, 3, 3, 3]
    assert store.likes() == wanted


def test_days_of_which_something_is_told_all_the_time_are_looked_through_too(tmp_path: Path) -> None:
    """On a busy network every compaction has words about every day: their turn comes all the same."""
    store = four_days(tmp_path).delete_account("bob", hour(99))
    for day in range(4):
        likes, _ = store.files(day)
        os.utime(likes, (likes.stat().st_mtime - 200_000 + day,) * 2)
    for turn in range(4):
        for day in range(4):
            store.unlike("ann" if turn % 2 else "cat", f"p{day}", hour(100 + turn))
        store.compact()
    assert [store.in_file(day) for day in range(4)] == [2, 1, 1, 1], "ann left the first after its turn"
    assert store.likes() == [("dan", f"p{day}") for day in range(4)]


def test_a_day_that_is_undone_whole_stays_a_day(tmp_path: Path) -> None:
    store = four_days(tmp_path)
    for liker in LIKERS:
        store.delete_account(liker, hour(99))
    look_through(store)
    assert store.likes() == []
    assert places.closed_days(tmp_path) == {FIRST_DAY + day for day in range(4)}


def unlike_and_change(store: SmallStore) -> None:
    """Tell of every kind of word about closed days."""
    store.unlike("ann", "p1", hour(99))
    store.like("bob", "p0", hour(99.1), key=store.keys["bob", "p1"], operation="update")
    store.like("cat", "late", hour(30), key=tid_from_int(tid_at(hour(30) - 10_000)))
    store.delete_account("dan", hour(99.2))
    store.repository("cat", hour(99.3), ["p0", "p2", "late"])
    store.come_to(hour(99.4))


AFTER_CHANGES = sorted(
    [("ann", f"p{day}") for day in (0, 2, 3)]
    + [("bob", name) for name in ("p0", "p0", "p2", "p3")]
    + [("cat", name) for name in ("late", "p0", "p2")]
)


@pytest.mark.parametrize("look", [False, True])
def test_stopped_between_any_two_steps(tmp_path: Path, look: bool) -> None:
    """After each step, and after each file, the disk is as kill -9 would leave it."""
    store = four_days(tmp_path / "data")
    unlike_and_change(store)
    before = store.likes()
    assert set(before) <= set(AFTER_CHANGES), "of what is late a like may wait; nothing undone is seen"
    stops: list[SmallStore] = []
    renamed = day_files.commit

    def commit(temporary: Path, final: Path) -> None:
        stops.append(store.copy(tmp_path / f"left-{len(stops)}"))
        renamed(temporary, final)
        stops.append(store.copy(tmp_path / f"left-{len(stops)}"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_files, "commit", commit)
        for day in range(4):
            store.fold(day, look=look)
    assert store.likes() == AFTER_CHANGES
    assert len(stops) >= 8
    for left in stops:
        found = left.likes()
        assert set(found) <= set(AFTER_CHANGES) and len(found) >= len(before)
        for day in range(4):
            left.fold(day)
        assert left.likes() == AFTER_CHANGES
        assert left.purge().likes() == AFTER_CHANGES


MOMENTS = ("before all", "after the transaction began", "after the files were held", "after all")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("purged", [False, True])
def test_a_reader_beside_a_fold_sees_one_moment(tmp_path: Path, moment: str, purged: bool) -> None:
    """The fold and ingest's retention come between any two of a reader's steps."""
    store = four_days(tmp_path)
    unlike_and_change(store)
    before = store.likes()

    def fold_when(now: str) -> None:
        if now == moment:  # another process: two users of SQLite in one would drop each other's locks
            script = (
                "import sys, pathlib, lake_tools; store = lake_tools.SmallStore(pathlib.Path(sys.argv[1]));"
                "[store.fold(day, look=True) for day in range(4)]" + ("; store.purge()" if purged else "")
            )
            env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
            subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=env)

    connection = duckdb.connect(config={"threads": 1})
    fold_when("before all")
    with reading(places.landing(tmp_path)) as reader:
        reader.number("SELECT commit_no FROM last_commit")
        fold_when("after the transaction began")
        with held_lake(tmp_path) as held:
            fold_when("after the files were held")
            read_like_records(connection, reader, held, 0)
            fold_when("after all")
            found = connection.execute(
                "SELECT liker_id, rkey, post_rkey FROM like_records ORDER BY ALL"
            ).fetchall()
            actors = dict(reader.table("SELECT did, actor_id FROM actors").to_pydict().items())
    numbers = dict(zip(actors["did"], actors["actor_id"], strict=True))
    wanted = AFTER_CHANGES if moment in MOMENTS[:2] else before
    assert [one[0] for one in found] == sorted(numbers[did(liker)] for liker, _ in wanted)
    assert sorted(one[2] for one in found) == sorted(post(name)[1] for _, name in wanted)


def test_words_under_keys_without_a_day_leave_landing(tmp_path: Path) -> None:
    store = SmallStore(tmp_path).like("ann", "p1", hour(5), key="self").come_to(hour(26))
    store.compact()
    store.purge()
    with reading(places.landing(tmp_path)) as reader:
        assert reader.number("SELECT count(*) FROM like_words") == 0
    assert store.likes() == [("ann", "p1")]
    assert places.changes_of(tmp_path, NAMED_DAY) is not None
    store.word("ann", "self", "delete", "", hour(27))
    assert store.likes() == []
    store.compact()
    assert store.purge().likes() == []


def many(data_dir: Path) -> SmallStore:
    """A closed day with hundreds of likes and many changes."""
    store = SmallStore(data_dir)
    for number in range(120):
        store.like(f"l{number}", f"p{number % 7}", hour(5 + number / 1000))
        if number % 3 == 0:
            store.unlike(f"l{number}", f"p{number % 7}", hour(6 + number / 1000))
        if number % 5 == 0:
            store.like(f"l{number}", "odd", hour(7), key=tid_from_int(tid_at(hour(3), number)))
    store.come_to(hour(26)).compact()
    return store.purge()


def flip(path: Path, bit: int) -> Callable[[], None]:
    """Flip a bit of a file; return what puts it right."""
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    return lambda: path.write_bytes(whole) and None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("which", [0, 1], ids=["likes", "changes"])
def test_a_flipped_bit_is_never_another_persons_like(tmp_path: Path, which: int) -> None:
    store = many(tmp_path)
    wanted, path = store.likes(), store.files(0)[which]
    bits = 8 * path.stat().st_size
    noticed = 0
    for place in range(200):
        restore = flip(path, bits * place // 200 + place % 8)
        try:
            day_files.check(path)
        except StoreError:
            noticed += 1
        else:
            try:
                assert store.likes() == wanted, f"bit {bits * place // 200 + place % 8}"
            except duckdb.Error:
                noticed += 1
        restore()
    assert noticed > 100
    assert store.likes() == wanted
