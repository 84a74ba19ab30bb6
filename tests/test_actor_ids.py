"""Actor ids: a full cache changes nothing but speed, and its limit in bytes holds."""

import itertools
import sqlite3
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from histories import did
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.identifiers import tid_at
from pipeline.store.actors import ActorIds
from pipeline.store.events import EventBatch, Like
from pipeline.store.fetch_admission import HistoryLike
from pipeline.store.fetched_likes import HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US
from sql.sqlite import connect, migrate

ENTRY_BYTES = 172  # of a did:plc of 32 characters
DIDS = [did(letter) for letter in "abcde"]
CALLS = [call for size in range(1, 5) for call in itertools.combinations(DIDS[:4], size)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "landing.sqlite")
    migrate(connection, "landing")
    yield connection
    connection.close()


def check_call(store: sqlite3.Connection, ids: ActorIds, call: tuple[str, ...]) -> None:
    """Every DID of a call has the number that the table has, and no number is given twice."""
    found = ids.intern(call)
    table = dict(store.execute("SELECT did, actor_id FROM actors").fetchall())
    assert {one: found[one] for one in call} == {one: table[one] for one in call}
    assert len(set(table.values())) == len(table)


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 4, 6, 8])
def test_every_three_calls_at_every_small_size(store: sqlite3.Connection, entries: int) -> None:
    for calls in itertools.product(CALLS, repeat=3):
        store.execute("BEGIN IMMEDIATE")
        ids = ActorIds(store, entries * ENTRY_BYTES)
        for call in calls:
            check_call(store, ids, call)
        store.execute("ROLLBACK")


@settings(deadline=None, max_examples=200)
@given(
    entries=st.integers(0, 12),
    calls=st.lists(st.tuples(st.sets(st.integers(0, 30)), st.sampled_from(["commit", "rollback", "other"]))),
)
def test_any_calls_with_rollbacks_and_another_process(
    tmp_path_factory: pytest.TempPathFactory, entries: int, calls: list[tuple[set[int], str]]
) -> None:
    path = tmp_path_factory.mktemp("ids") / "landing.sqlite"
    ours, theirs = connect(path), connect(path)
    migrate(ours, "landing")
    numberings = {"ours": ActorIds(ours, entries * ENTRY_BYTES), "theirs": ActorIds(theirs)}
    committed: dict[str, int] = {}
    for numbers, end in calls:
        connection, ids = (theirs, numberings["theirs"]) if end == "other" else (ours, numberings["ours"])
        connection.execute("BEGIN IMMEDIATE")
        check_call(connection, ids, tuple(f"did:web:{number}.example" for number in numbers))
        if end == "rollback":
            connection.execute("ROLLBACK")
            ids.forget()
        else:
            connection.execute("COMMIT")
        table = dict(ours.execute("SELECT did, actor_id FROM actors").fetchall())
        assert committed.items() <= table.items()  # a number that was given stays
        committed = table
    ours.close()
    theirs.close()


@pytest.mark.parametrize("length", [32, 33, 300, 2048])
def test_its_memory_is_within_the_limit(store: sqlite3.Connection, length: int) -> None:
    """Memory is what the interpreter allotted; a call brings 1,000 DIDs beyond the limit in each half."""
    limit = 8_000_000
    store.execute("BEGIN IMMEDIATE")
    tracemalloc.start()
    try:
        ids = ActorIds(store, limit)
        calls = 4 * limit // ((length + 140) * 1000)
        held = []
        for number in range(calls):
            ids.intern([f"did:web:{number:07}{place:07}".ljust(length, "x") for place in range(1000)])
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(held) <= limit + 2 * 1000 * (length + 140) + 200_000
    assert max(held) > 0.6 * limit  # and it is used
    store.execute("ROLLBACK")


def test_actors_who_come_again_stay(store: sqlite3.Connection) -> None:
    """Whoever comes in every call is never looked up again, however many others pass."""
    ids = ActorIds(store, 40 * ENTRY_BYTES)
    regulars = [f"did:web:regular{number}" for number in range(5)]
    store.execute("BEGIN IMMEDIATE")
    ids.intern(regulars)
    asked: list[str] = []
    store.set_trace_callback(asked.append)
    for number in range(200):
        ids.intern([*regulars, f"did:web:passing{number}"])
    store.set_trace_callback(None)
    store.execute("ROLLBACK")
    assert any("passing199" in statement for statement in asked)
    assert not [statement for statement in asked if "regular" in statement]


def test_likes_of_one_liker_with_room_for_eight(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    landing._actors = ActorIds(landing.connection, 8 * ENTRY_BYTES)
    now_us = 20_000 * DAY_US
    for number in range(12):
        like = Like(did("a"), tid_at(now_us + number), f"did:web:{number}.example", 1, now_us + number, 1)
        landing.append(EventBatch(likes=[like], value=number + 1, event_us=now_us), "one.example", "wire")
    landing.close()
    store = connect(tmp_path / "landing.sqlite", read_only=True)
    rows = store.execute(
        "SELECT l.did, a.did FROM likes JOIN actors AS l ON l.actor_id = liker_id "
        "JOIN actors AS a ON a.actor_id = author_id ORDER BY rkey"
    ).fetchall()
    store.close()
    assert rows == [(did("a"), f"did:web:{number}.example") for number in range(12)]


def test_viewers_with_more_likes_than_the_cache_has_room(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path, cache_bytes=8 * ENTRY_BYTES)
    for viewer in range(6):
        authors = [f"did:web:{viewer * 7 + number}.example" for number in range(15)]
        likes = [HistoryLike(tid_at(DAY_US + n), author, 1, DAY_US) for n, author in enumerate(authors)]
        store.intern(authors)
        store.store_viewer(f"did:web:viewer{viewer}", likes, DAY_US, "done")
        assert store.intern(authors) == {author: store.actor_id(author) for author in authors}
    store.close()
