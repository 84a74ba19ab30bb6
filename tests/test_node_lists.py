"""The head's lists on nodes: the same rows, whole generations, whatever is killed, missed or made anew."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from batch_tools import settings_for
from serving_worlds import Clock, ServingStore, blob, plc_did

from pipeline.nodes import give_lists as giving
from pipeline.nodes.exchange_state import Machine, give_state
from pipeline.nodes.give_lists import give_lists, remove_old_parts
from pipeline.nodes.part_manifest import read_manifest
from pipeline.nodes.shared_files import RemovalsGiver, enter, give_key, take_key, take_removals
from pipeline.nodes.sync import SyncTurns
from pipeline.nodes.take_lists import forget_lists, take_lists
from pipeline.ranking import Ranking
from pipeline.store.newest_generation import newest_generation
from pipeline.store.removals import Removals
from serving.lists.removed_posts import EVERYBODY, RemovedPosts
from serving.viewers.journal import Journal
from sql import places
from sql.shards import BUCKETS, Shard, bucket_of
from sql.sqlite import connect

VIEWERS = [plc_did(number) for number in range(40)]
SHARDS = [Shard(1, 2), Shard(2, 2)]
ROOMS = ["journals", "lists", "machines"]


class Head:
    """An installation whose batch publishes, and the folder that it shares."""

    def __init__(self, folder: Path) -> None:
        self.data_dir, self.shared = folder / "head", folder / "shared"
        self.shared.mkdir()
        enter(self.shared, is_head=True, is_first=True)
        self.clock = Clock()
        self.random = random.Random(5)
        self.begin()

    def begin(self) -> None:
        self.store = ServingStore(places.serving(self.data_dir))
        self.store.posts(range(1, 200))
        self.generation = 0

    def publish(self, viewers: list[str]) -> None:
        """Publish lists as the batch does: a viewer's list takes the row of the one before."""
        self.generation += 1
        lists = {did: blob(self.random.sample(range(1, 200), 12)) for did in viewers}
        former = [(self.store._viewers[did],) for did in viewers if did in self.store._viewers]
        self.store.connection.executemany("DELETE FROM lists WHERE viewer_id = ?", former)
        fallbacks = {"": blob([self.generation, 199])}
        self.store.publish(self.generation, lists, fallbacks, at=self.clock())

    def give(self) -> bool:
        return give_lists(self.data_dir, self.shared, self.clock) is not None


def rows_of(data_dir: Path, shard: Shard | None = None) -> list[tuple[object, ...]]:
    """Return the newest lists, the posts, the fallback lists and the generations that a web app can read."""
    with closing(connect(places.serving(data_dir), read_only=True)) as connection:
        lists = connection.execute(
            "SELECT v.did, feed_id, l.viewer_id, max(generation), items "
            "FROM lists AS l JOIN viewers AS v USING (viewer_id) GROUP BY l.viewer_id, feed_id ORDER BY v.did"
        ).fetchall()
        mine = [row for row in lists if shard is None or shard.has(bucket_of(row[0]))]
        posts = connection.execute("SELECT post_id, author_id, rkey, uri FROM posts ORDER BY 1").fetchall()
        fallbacks = connection.execute("SELECT * FROM fallbacks ORDER BY generation DESC LIMIT 1").fetchall()
        newest = connection.execute("SELECT * FROM generations ORDER BY generation DESC LIMIT 1").fetchall()
    return [*mine, *posts, *fallbacks, *newest]


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    head = Head(tmp_path)
    yield head
    head.store.close()


def take(head: Head, node: Path, shard: Shard = SHARDS[0]) -> int:
    return take_lists(node, head.shared, shard, Ranking(), head.clock)


def test_nodes_have_the_lists_of_their_shards_as_the_head_has_them(head: Head, tmp_path: Path) -> None:
    head.publish(VIEWERS)
    assert head.give()
    assert not head.give()
    for turn in range(5):
        for shard in SHARDS:
            node = tmp_path / f"node{shard.number}"
            assert take(head, node, shard) == 1
            assert rows_of(node) == rows_of(head.data_dir, shard)
        assert sum(len(rows_of(tmp_path / f"node{number}")) for number in (1, 2)) == 40 + 2 * (199 + turn + 2)
        head.clock.at += 600
        head.store.posts([200 + turn])
        head.publish(head.random.sample(VIEWERS, 7))
        head.publish(head.random.sample(VIEWERS, 3))
        assert head.give()


def test_a_node_that_was_off_takes_what_it_missed_and_a_new_one_takes_everything(
    head: Head, tmp_path: Path
) -> None:
    behind, fresh = tmp_path / "behind", tmp_path / "fresh"
    head.publish(VIEWERS)
    head.give()
    take(head, behind)
    served = rows_of(behind)
    for _ in range(4):
        head.clock.at += 60
        head.publish(head.random.sample(VIEWERS, 9))
        head.give()
    assert rows_of(behind) == served
    assert take(head, behind) == 4
    assert take(head, fresh) == 5
    assert rows_of(behind) == rows_of(fresh) == rows_of(head.data_dir, SHARDS[0])


def test_whoever_is_killed_takes_the_part_again_and_no_generation_is_seen_in_part(
    head: Head, tmp_path: Path
) -> None:
    node = tmp_path / "node"
    head.publish(VIEWERS)
    head.give()
    take(head, node)
    before = rows_of(node)
    head.publish(head.random.sample(VIEWERS, 20))
    second = rows_of(head.data_dir, SHARDS[0])
    head.publish(head.random.sample(VIEWERS, 20))
    head.give()

    class KilledError(Exception):
        pass

    steps = 0
    while True:
        left = steps = steps + 1

        def killed() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KilledError

        copy = tmp_path / f"copy{steps}"
        shutil.copytree(node, copy)
        try:
            take_lists(copy, head.shared, SHARDS[0], Ranking(), head.clock, killed)
        except KilledError:
            final = {row[0]: row for row in rows_of(head.data_dir, SHARDS[0]) if isinstance(row[0], str)}
            found = {row[0]: row for row in rows_of(copy) if isinstance(row[0], str)}
            newest = newest_generation(copy)
            assert found.keys() == final.keys()  # nobody is without a list meanwhile
            for did, row in final.items():
                # A viewer's list is the head's once its generation is visible, and the one before until then.
                assert found[did] == row if row[3] <= newest else found[did] in before + second
            take(head, copy)
            assert rows_of(copy) == rows_of(head.data_dir, SHARDS[0])
        else:
            break
    assert steps > 4


def test_a_part_with_everything_follows_when_there_are_many_and_deletes_what_the_head_deleted(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving, "PARTS_MAX", 3)
    node, late = tmp_path / "node", tmp_path / "late"
    head.publish(VIEWERS)
    head.give()
    take(head, node)
    shutil.copytree(node, late)
    forgotten = next(did for did in VIEWERS if SHARDS[0].has(bucket_of(did)))
    for table in ("lists", "viewers"):
        query = f"DELETE FROM {table} WHERE viewer_id = (SELECT viewer_id FROM viewers WHERE did = ?)"
        head.store.connection.execute(query, (forgotten,))
    others = [did for did in VIEWERS if did != forgotten]
    for _ in range(5):
        head.clock.at += 600
        head.publish(others[:5])
        head.give()
        take(head, node)
    manifest = read_manifest(head.shared)
    assert manifest is not None
    assert [part.number for part in manifest.parts] == [5, 6]
    assert rows_of(node) == rows_of(head.data_dir, SHARDS[0])
    assert take(head, late) == 2
    assert rows_of(late) == rows_of(head.data_dir, SHARDS[0])
    with closing(connect(places.serving(late), read_only=True)) as connection:
        count = connection.execute("SELECT count(*), count(DISTINCT viewer_id) FROM lists").fetchone()
    assert count[0] == count[1]  # no list that another replaced


def test_another_serving_sqlite_replaces_everything(head: Head, tmp_path: Path) -> None:
    node = tmp_path / "node"
    head.publish(VIEWERS)
    head.publish(VIEWERS[:3])
    head.give()
    take(head, node)
    head.store.close()
    shutil.rmtree(head.data_dir)
    head.begin()
    head.store.posts(range(1, 50))
    head.publish(VIEWERS[:30])
    assert head.give()
    assert take(head, node) == 1
    assert newest_generation(node) == 1
    assert rows_of(node) == rows_of(head.data_dir, SHARDS[0])


def test_a_node_may_get_another_shard(head: Head, tmp_path: Path) -> None:
    head.publish(VIEWERS)
    head.give()
    node = tmp_path / "node"
    for shard in (Shard(1, 2), Shard(2, 3), Shard(1, 1)):
        take(head, node, shard)
        assert rows_of(node) == rows_of(head.data_dir, shard)


def test_files_that_nobody_needs_are_removed_after_an_hour(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving, "PARTS_MAX", 0)
    for _ in range(3):
        head.clock.at += 1
        head.publish(VIEWERS)
        head.give()
    folder = places.list_parts(head.shared)
    (folder / ".left").write_text("by a killed process")
    assert remove_old_parts(head.shared, head.clock) == 0
    head.clock.at = (folder / ".left").stat().st_mtime + 3_700
    assert remove_old_parts(head.shared, head.clock) == 3
    assert len(list(folder.iterdir())) == 1
    assert take(head, tmp_path / "node") == 1


def test_a_part_that_is_not_there_any_more_leaves_the_node_as_it_is(head: Head, tmp_path: Path) -> None:
    node = tmp_path / "node"
    head.publish(VIEWERS)
    head.give()
    take(head, node)
    served = rows_of(node)
    head.publish(VIEWERS)
    head.give()
    manifest = read_manifest(head.shared)
    assert manifest is not None
    (places.list_parts(head.shared) / manifest.parts[-1].file).unlink()
    assert take(head, node) == 0
    assert rows_of(node) == served


def test_a_viewer_who_is_forgotten_has_no_list_on_a_node(head: Head, tmp_path: Path) -> None:
    node = tmp_path / "node"
    head.publish(VIEWERS)
    head.give()
    take(head, node, Shard(1, 1))
    forget_lists(node, VIEWERS[3])
    with closing(connect(places.serving(node), read_only=True)) as connection:
        assert connection.execute("SELECT count(*) FROM lists").fetchone() == (39,)
        assert connection.execute("SELECT count(*) FROM viewers").fetchone() == (39,)


def test_removals_and_the_key_of_cursors_reach_a_node(head: Head, tmp_path: Path) -> None:
    node = tmp_path / "node"
    assert not take_key(node, head.shared)
    removals, giver = Removals(head.data_dir), RemovalsGiver(head.data_dir, head.shared)
    assert giver.give()
    named = take_removals(node, head.shared, None)
    pages = RemovedPosts(places.removals(node))
    assert pages.withheld_among([(7, 70)]) == {}
    with closing(sqlite3.connect(places.removals(head.data_dir))) as connection, connection:
        connection.execute("INSERT INTO removed_posts VALUES (70, 7)")
    giver._due = 0.0
    assert giver.give()
    assert take_removals(node, head.shared, named) != named
    assert pages.withheld_among([(7, 70)]) == {(7, 70): EVERYBODY}
    giver._due = 0.0
    assert not giver.give()
    giver.close()
    removals.close()
    places.cursor_key(head.data_dir).write_bytes(b"k" * 32)
    give_key(head.data_dir, head.shared)
    assert take_key(node, head.shared)
    assert places.cursor_key(node).read_bytes() == b"k" * 32


def test_nobody_makes_the_shared_folder_while_it_is_away(head: Head) -> None:
    """Made here it is a folder of this machine, as a mount that fell off leaves it, and no other machine sees it."""
    head.publish(VIEWERS)
    removals, giver = Removals(head.data_dir), RemovalsGiver(head.data_dir, head.shared)
    places.cursor_key(head.data_dir).write_bytes(b"k" * 32)
    assert head.give()
    manifest = read_manifest(head.shared)
    assert manifest is not None
    writers: list[Callable[[], object]] = [
        head.give,
        giver.give,
        lambda: give_key(head.data_dir, head.shared),
        lambda: give_state(head.shared, Machine("head", "", 1, 1, 0, 0)),
        lambda: manifest.write(head.shared),
        lambda: Journal(places.journals(head.shared) / "head").append(b"00[]\n"),
    ]
    shutil.rmtree(head.shared)
    for write in writers:
        with pytest.raises(FileNotFoundError):
            write()
        assert not head.shared.exists()
    head.shared.mkdir()
    enter(head.shared, is_head=True, is_first=True)
    for write in writers:
        giver._due = 0.0
        write()
    assert sorted(path.name for path in head.shared.iterdir() if path.is_dir()) == ROOMS
    giver.close()
    removals.close()


def turns_of(head: Head, name: str, shard: Shard | None = None) -> SyncTurns:
    """Return the exchange of a machine that has just been started, without journals."""
    (head.shared.parent / name).mkdir(exist_ok=True)
    settings = replace(settings_for(head.shared.parent / name), shared_dir=head.shared, shard=shard)
    return SyncTurns(settings, lambda: 0)


def test_an_empty_mount_point_is_not_the_shared_folder(head: Head) -> None:
    """Its mount fell off, and this user may write into it: what is left there is seen by no other machine."""
    head.publish(VIEWERS)
    shutil.rmtree(head.shared)
    head.shared.mkdir()
    journal = Journal(places.journals(head.shared) / "node")
    running = {"node": turns_of(head, "node", SHARDS[0]), "head": turns_of(head, "head")}
    assert [turns.take_turn() for turns in running.values()] == [False, True]  # the head begins
    assert all(turns.take_turn() for turns in running.values())
    journal.append(b"00[]\n")
    away = head.shared.rename(head.shared.with_name("away"))
    head.shared.mkdir()
    # Those that run, and those that are started meanwhile.
    for turns in (*running.values(), turns_of(head, "node", SHARDS[0]), turns_of(head, "head")):
        assert not turns.take_turn()
        assert "has no lists, journals, machines" in turns._failures["folder"]
    for writes in (lambda: Journal(places.journals(head.shared) / "node").append(b"00[]\n"), head.give):
        with pytest.raises(FileNotFoundError):
            writes()
    assert list(head.shared.iterdir()) == []
    head.shared.rmdir()
    away.rename(head.shared)
    assert all(turns.take_turn() for turns in running.values())

    # What an older version lacks, the head adds, where there is something.
    shutil.rmtree(places.journals(head.shared))
    assert not running["node"].take_turn()
    assert all(running[name].take_turn() for name in ("head", "node"))
    # And a new folder is begun by a head that does not know that there was one.
    head.shared.rename(away)
    head.shared.mkdir()
    places.exchange(head.data_dir).unlink()
    assert turns_of(head, "head").take_turn()
    assert sorted(path.name for path in head.shared.iterdir() if path.is_dir()) == ROOMS


def test_shards_share_the_buckets_out() -> None:
    for count in (1, 2, 3, 7, 256):
        owners = [
            [n for n in range(1, count + 1) if Shard(n, count).has(bucket)] for bucket in range(BUCKETS)
        ]
        assert all(len(owner) == 1 for owner in owners)
    assert str(Shard.from_text("2/3")) == "2/3"
    for text in ("", "2", "0/2", "3/2", "1/257", "a/b", "1/2/3", "-1/2", "١/2"):
        with pytest.raises(ValueError, match="N/COUNT"):
            Shard.from_text(text)
