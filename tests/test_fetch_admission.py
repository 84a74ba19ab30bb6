"""What a stranger's repository may add to the store: nobody who was never heard of, and so many likes a day."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from histories import did
from lake_tools import like_records

from pipeline.identifiers import tid_at
from pipeline.store import fetch_admission
from pipeline.store.events import EventBatch, Like
from pipeline.store.fetch_admission import NO_ROOM, UNKNOWN_AUTHOR, HistoryLike, Statement
from pipeline.store.fetched_likes import DONE, HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.like_words import ALL_KEYS
from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import connect

NOW_US = 20_700 * DAY_US + DAY_US // 2
WHO, KNOWN = did("v"), did("n")


def stream(data_dir: Path, *likes: Like, began_us: int = NOW_US - 20 * DAY_US) -> None:
    """Let a stream report likes; its first event came at a time."""
    landing = Landing(data_dir)
    batch = EventBatch(newest_us=NOW_US, low_us=NOW_US, last_us=NOW_US, first_us=began_us)
    batch.likes += likes
    landing.append(batch, "one.example", "firehose")
    landing.close()


def like(number: int, author: str = KNOWN) -> HistoryLike:
    seen_us = NOW_US - DAY_US + number * 1_000_000
    return HistoryLike(tid_at(seen_us), author, tid_at(NOW_US - 2 * DAY_US, number % 1024), seen_us)


def reported(number: int, author: str = KNOWN) -> Like:
    key, seen_us = like(number).rkey, like(number).seen_us
    return Like(WHO, key, author, like(number).post_rkey, seen_us, key)


def fetch(
    data_dir: Path,
    likes: Sequence[HistoryLike],
    who: str = WHO,
    *,
    is_stranger: bool = True,
    at_us: int = NOW_US,
) -> dict[str, int]:
    """Store what a repository lists, whole; return what was left out."""
    store = HistoryStore(data_dir)
    try:
        statement = Statement(tid_at(at_us), ALL_KEYS)
        return dict(store.store_viewer(who, likes, at_us, DONE, statement=statement, is_stranger=is_stranger))
    finally:
        store.close()


def rows(data_dir: Path, query: str) -> list[tuple[object, ...]]:
    store = connect(places.landing(data_dir), read_only=True)
    try:
        return store.execute(query).fetchall()
    finally:
        store.close()


def kept(data_dir: Path) -> set[int]:
    return {row.rkey for row in like_records(data_dir)[0]}


def test_no_author_is_invented(tmp_path: Path) -> None:
    """A repository lists a thousand likes of authors with long names whom nobody told of, and three of known ones."""
    stream(tmp_path, Like(did("x"), tid_at(NOW_US), KNOWN, 1, NOW_US, tid_at(NOW_US)))
    before = rows(tmp_path, "SELECT did FROM actors")
    invented = [like(10 + n, f"did:web:{'a' * 60}.{'b' * 60}.{'c' * 60}.example{n}") for n in range(1000)]
    assert fetch(tmp_path, [*invented, *map(like, range(3))]) == {UNKNOWN_AUTHOR: 1000}
    assert set(rows(tmp_path, "SELECT did FROM actors")) == {*before, (WHO,)}
    assert kept(tmp_path) >= {like(n).rkey for n in range(3)}
    assert rows(tmp_path, "SELECT count(*) FROM like_words") == [(4,)]
    assert rows(tmp_path, f"SELECT value FROM counters WHERE name = '{UNKNOWN_AUTHOR}'") == [(1000,)]


def test_whoever_brings_nothing_leaves_no_number(tmp_path: Path) -> None:
    stream(tmp_path, reported(1))
    other = did("o")
    fetch(tmp_path, [like(n, did("z")) for n in range(50)], other)
    fetch(tmp_path, [], did("p"))
    assert (other,) not in rows(tmp_path, "SELECT did FROM actors")
    assert rows(tmp_path, "SELECT count(*) FROM actors") == [(2,)]
    assert rows(tmp_path, "SELECT outcome FROM fetched_viewers") == [(DONE,), (DONE,)]


def test_what_is_left_out_is_not_void(tmp_path: Path) -> None:
    """The stream tells of a like after the fetch that left it out, and of an older one that the list did not have."""
    new = did("q")
    stream(tmp_path, reported(1), reported(5))
    assert fetch(tmp_path, [like(6), like(3, new)]) == {UNKNOWN_AUTHOR: 1}
    # 5 is of the part that was read whole, 1 is older than what was left out
    assert kept(tmp_path) == {like(6).rkey, like(1).rkey}
    stream(tmp_path, reported(3, new))
    assert kept(tmp_path) == {like(6).rkey, like(3).rkey, like(1).rkey}


@pytest.mark.parametrize(("days", "outcome"), [(20, DONE), (2, "1 failures: the stream has not")])
def test_a_young_store_looks_again(tmp_path: Path, days: int, outcome: str) -> None:
    """Two days after the stream began most authors are unknown; after two weeks an unknown one is nobody."""
    stream(tmp_path, reported(1), began_us=NOW_US - days * DAY_US)
    fetch(tmp_path, [like(1), *(like(n, did("z")) for n in range(2, 60))])
    [(found,)] = rows(tmp_path, "SELECT outcome FROM fetched_viewers")
    assert str(found).startswith(outcome)
    fetch(tmp_path, [like(n) for n in range(60)])
    assert rows(tmp_path, "SELECT outcome FROM fetched_viewers") == [(DONE,)]


def test_strangers_have_room_for_so_many_likes_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_admission, "STRANGERS_WHOLE_ROWS", 100)
    monkeypatch.setattr(fetch_admission, "STRANGERS_ROWS", 200)
    stream(tmp_path, reported(1))
    listed = [like(n) for n in range(90, 0, -1)]

    def counts(letter: str, at_us: int = NOW_US) -> list[tuple[object, ...]]:
        fetch(tmp_path, listed, did(letter), at_us=at_us)
        return rows(tmp_path, f"SELECT likes, outcome FROM fetched_viewers WHERE did = '{did(letter)}'")

    assert [counts(letter) for letter in "abcd"] == [[(90, DONE)], [(90, DONE)], [(50, DONE)], [
        (0, "1 failures: there is no room for more strangers today")
    ]]  # fmt: skip
    newest = {like(n).rkey for n in range(41, 91)}
    number = rows(tmp_path, f"SELECT actor_id FROM actors WHERE did = '{did('c')}'")[0][0]
    assert {row[0] for row in rows(tmp_path, f"SELECT rkey FROM likes WHERE liker_id = {number}")} == newest
    assert rows(tmp_path, f"SELECT value FROM counters WHERE name = '{NO_ROOM}'") == [(130,)]
    # the known have their own room, and tomorrow there is room again
    assert fetch(tmp_path, listed, did("e"), is_stranger=False) == {}
    assert counts("d", NOW_US + DAY_US) == [(90, DONE)]
