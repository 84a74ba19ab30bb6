"""Small stories of one like, each by name, that a store once told wrong: where history, lake and stream meet."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from lake_tools import FIRST_DAY, SmallStore, did, hour, post

from pipeline.backfill import file_of_lines
from pipeline.errors import StoreError
from pipeline.identifiers import post_uri, tid_at, tid_from_int
from pipeline.ingest.operations import LIKE, add_like
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from sql import places

Story = Callable[[SmallStore], None]
Word = tuple[str, str, str, float]  # key, operation, post, hour


def file(store: SmallStore, *words: Word, who: str = "b") -> None:
    """Tell words by ``backfill --file``."""
    lines = []
    for key, operation, name, at in words:
        commit = {
            "rev": tid_from_int(tid_at(hour(at))),
            "operation": operation,
            "collection": LIKE,
            "rkey": key,
        }
        record = {"record": {"subject": {"uri": post_uri(*post(name)), "cid": "c"}}} if name else {}
        event = {"did": did(who), "time_us": hour(at), "kind": "commit", "commit": commit | record}
        lines.append(orjson.dumps(event))
    path = store.data_dir / "lines.jsonl"
    path.write_bytes(b"\n".join(lines))
    file_of_lines.run(store.data_dir, str(path))


def stream(store: SmallStore, *words: Word, who: str = "b") -> None:
    """Tell words by the stream, a commit each, and close the days before each of them."""
    for key, operation, name, at in words:
        store.word(who, key, operation, name, hour(at))
        store.compact()
        store.purge()


def key_at(hours: float) -> str:
    return tid_from_int(tid_at(hour(hours) - 5_000))


KEYS = {"its own time": key_at(5), "of the future": key_at(60), "of the past": key_at(-60), "named": "self"}


def updated_and_deleted_days_later(key: str) -> Story:
    def story(store: SmallStore) -> None:
        stream(store, (key, "create", "n", 5), (key, "update", "m", 53), (key, "delete", "", 101))

    return story


def made_again_after_a_deletion_that_was_missed(store: SmallStore) -> None:
    stream(
        store, (key_at(60), "create", "n", 5), (key_at(60), "create", "n", 61), (key_at(60), "delete", "", 62)
    )


def deleted_and_made_in_one_commit(store: SmallStore) -> None:
    stream(store, (key_at(5), "create", "n", 5))
    batch = EventBatch()
    for seen, operation, subject in ((0, "delete", "none"), (0, "create", post("kept"))):
        add_like(
            did("b"), hour(7) + seen, tid_from_int(tid_at(hour(7))), key_at(5), operation, subject, batch
        )
    store.append(batch, hour(7))


def told_again_by_a_file(store: SmallStore) -> None:
    words: list[Word] = [(key_at(5), "create", "n", 5), (key_at(5), "delete", "", 5.01)]
    stream(store, *words)
    store.come_to(hour(30)).compact()
    store.purge()
    file(store, *words)


def key_before_midnight_and_seen_after(store: SmallStore) -> None:
    key = tid_from_int(tid_at(hour(24) - 1_000))
    stream(store, (key, "create", "kept", 24.0001))
    store.come_to(hour(50)).compact()
    store.purge()
    file(store, (key, "create", "kept", 24.0001))


def deletion_by_the_stream_then_the_like_by_a_file(store: SmallStore) -> None:
    store.like("other", "kept", hour(6))
    stream(store, (key_at(5), "delete", "", 7))
    store.come_to(hour(30)).compact()
    store.purge()
    file(store, (key_at(5), "create", "n", 5))


def repository_that_was_replaced(store: SmallStore) -> None:
    for number in (1, 2, 3):
        store.like("b", f"n{number}", hour(4 + number))
    store.come_to(hour(30)).compact()
    store.purge().keys["b", "kept"] = key_at(9)
    store.repository("b", hour(31), ["n2", "kept"])


def read_at_the_revision_of_its_last_like(store: SmallStore) -> None:
    """Who likes a post and then opens the feed: the fetch finds that like as the repository's last word."""
    store.like("b", "kept", hour(5)).repository("b", hour(5), ["kept"])


def read_before_a_deletion_and_stored_after_its_fold(store: SmallStore) -> None:
    store.like("b", "n", hour(5)).come_to(hour(26)).compact()
    store.purge().unlike("b", "n", hour(27))
    store.compact()
    store.fold(0, look=True)
    store.purge().repository("b", hour(26.5), ["n"])


STORIES: dict[str, tuple[Story, list[str]]] = {
    **{
        f"updated and deleted days later, key {kind}": (updated_and_deleted_days_later(key), [])
        for kind, key in KEYS.items()
    },
    "made again after a deletion that was missed": (made_again_after_a_deletion_that_was_missed, []),
    "deleted and made in one commit": (deleted_and_made_in_one_commit, ["kept"]),
    "like, unlike 30 s later, told again by a file": (told_again_by_a_file, []),
    "key a millisecond before midnight, told again by a file": (key_before_midnight_and_seen_after, ["kept"]),
    "unlike by the stream, then the like by a file": (
        deletion_by_the_stream_then_the_like_by_a_file,
        ["kept"],
    ),
    "a repository that was replaced": (repository_that_was_replaced, ["kept", "n2"]),
    "a repository read at the revision of its last like": (read_at_the_revision_of_its_last_like, ["kept"]),
    "a repository read before a deletion, stored after its fold": (
        read_before_a_deletion_and_stored_after_its_fold,
        [],
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_only_what_exists_is_left(tmp_path: Path, name: str) -> None:
    """At once, and whatever is folded, looked through and deleted from landing.sqlite afterwards."""
    story, left = STORIES[name]
    store = SmallStore(tmp_path)
    story(store)
    assert [one for _, one in store.likes()] == left
    for day in range(7, 1, -1):
        store.come_to(hour(24 * (14 - day)))
        for closed in sorted(places.closed_days(tmp_path), key=lambda closed: (closed + day) % 3):
            store.fold(closed - FIRST_DAY, look=True)
        store.compact()
        assert [one for _, one in store.purge().likes()] == left


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_key_used_again_counts_once(tmp_path: Path, key: str) -> None:
    """Its deletion was missed; a file tells of it later, and of all of it again."""
    store = SmallStore(tmp_path)
    words: list[Word] = [(key, "create", "n", 5), (key, "delete", "", 30), (key, "create", "m", 62)]
    stream(store, words[0], words[2])
    assert [name for _, name in store.likes()] in (["m"], []), "a late like may wait for the next fold"
    store.come_to(hour(100)).compact()
    assert [name for _, name in store.purge().likes()] == ["m"]
    for told in (words[1:2], words[:2], words):
        file(store, *told)
        assert [name for _, name in store.likes()] == ["m"]
        store.compact()
        assert [name for _, name in store.purge().likes()] == ["m"]


def test_a_landing_store_from_before_a_day_of_the_lake_is_refused(tmp_path: Path) -> None:
    """A power cut, or half a backup: numbers in the lake would become other people."""
    store = SmallStore(tmp_path).like("a", "n", hour(5))
    earlier = places.landing(tmp_path).read_bytes()
    store.like("b", "m", hour(6)).come_to(hour(26)).compact()
    store.purge()
    for name in ("landing.sqlite-wal", "landing.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    places.landing(tmp_path).write_bytes(earlier)
    with pytest.raises(StoreError, match="older than the lake"):
        Landing(tmp_path)
