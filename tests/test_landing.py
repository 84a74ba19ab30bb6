"""The landing store against a plain-Python model of which likes exist, and its rules one by one."""

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StoreError
from pipeline.identifiers import tid_at
from pipeline.store import events as told
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US, AccountStatus, day_of
from sql import places

START = 20_000 * DAY_US  # midnight
LIKERS = [f"did:plc:liker{n}" for n in range(3)]
AUTHORS = [f"did:plc:author{n}" for n in range(2)]
Event = told.Like | told.Unlike | told.Post | told.PostDeletion | told.AccountChange


def Like(liker: str, rkey: int, author: str, post_rkey: int, seen_us: int) -> told.Like:
    """A like whose revision was made when it was seen."""
    return told.Like(liker, rkey, author, post_rkey, seen_us, tid_at(seen_us))


def Unlike(liker: str, rkey: int, seen_us: int) -> told.Unlike:
    return told.Unlike(liker, rkey, seen_us, tid_at(seen_us))


def Post(author: str, rkey: int, created_us: int, seen_us: int, flags: int, langs: str) -> told.Post:
    return told.Post(author, rkey, created_us, seen_us, flags, langs, tid_at(seen_us))


def PostDeletion(author: str, rkey: int, seen_us: int) -> told.PostDeletion:
    return told.PostDeletion(author, rkey, seen_us, tid_at(seen_us))


def AccountChange(did: str, status: AccountStatus, seen_us: int) -> told.AccountChange:
    return told.AccountChange(did, status, seen_us)


def batch_of(events: list[Event]) -> EventBatch:
    batch = EventBatch()
    lists: dict[type, list] = {  # type: ignore[type-arg]
        told.Like: batch.likes,
        told.Unlike: batch.unlikes,
        told.Post: batch.posts,
        told.PostDeletion: batch.post_deletions,
        told.AccountChange: batch.accounts,
    }
    for event in events:
        lists[type(event)].append(event)
        batch.value = batch.event_us = event.seen_us
        batch.newest_us = batch.low_us = max(batch.newest_us, event.seen_us)
    return batch


def stored_likes(data_dir: Path) -> set[tuple[str, int, str, int, int]]:
    with sqlite3.connect(data_dir / "landing.sqlite") as connection:
        rows = connection.execute(
            "SELECT l.did, likes.rkey, a.did, post_rkey, seen_us FROM likes "
            "JOIN actors AS l ON l.actor_id = liker_id JOIN actors AS a ON a.actor_id = author_id "
            "WHERE seen_us > l.deleted_us"  # the likes of a deleted account are gone, whoever reads
        ).fetchall()
        connection.rollback()
    connection.close()
    return set(rows)


def model(events: list[Event]) -> set[tuple[str, int, str, int, int]]:
    """Which likes exist after these events, in the order of their times: no tables, no SQL."""
    likes: dict[tuple[str, int], Like] = {}
    for event in sorted(events, key=lambda event: event.seen_us):
        if isinstance(event, told.Like):
            likes[event.liker, event.rkey] = event
        elif isinstance(event, told.Unlike):
            likes.pop((event.liker, event.rkey), None)
        elif isinstance(event, told.AccountChange) and event.status is AccountStatus.DELETED:
            likes = {key: like for key, like in likes.items() if key[0] != event.did}
    return {tuple(like[:5]) for like in likes.values()}


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """A stream of some hours round midnight: each like record is undone before its key is used again."""
    events: list[Event] = []
    alive: set[tuple[str, int]] = set()
    gone: set[str] = set()
    now = START + 22 * HOUR_US
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from([1, 1_000, 60_000_000, 20 * 60_000_000]))
        if now >= START + DAY_US + HOUR_US:
            break
        liker = draw(st.sampled_from(LIKERS))
        key = (liker, draw(st.sampled_from([-7, 5, 6, 2**62])))
        kind = draw(st.sampled_from(["like", "like", "like", "unlike", "account"]))
        if kind == "unlike" or (kind == "like" and key in alive):
            events.append(Unlike(*key, now))  # also of likes never seen
            alive.discard(key)
        elif kind == "like" and liker not in gone:
            events.append(Like(*key, draw(st.sampled_from(AUTHORS)), draw(st.integers(0, 2)), now))
            alive.add(key)
        elif kind == "account" and draw(st.integers(0, 5)) == 0:
            events.append(AccountChange(liker, AccountStatus.DELETED, now))
            alive = {other for other in alive if other[0] != liker}
            gone.add(liker)
    return events


def elsewhere(stretch: list[Event], choose: random.Random) -> EventBatch:
    """The same events as another host tells them: its clock differs, the revisions do not."""
    skew = choose.choice([0, -900_000, 900_000])
    return batch_of([event._replace(seen_us=event.seen_us + skew) for event in stretch])


@settings(max_examples=150, deadline=None)
@given(history=histories(), seed=st.integers(0, 2**32))
def test_any_batches_and_replays_give_what_the_model_says(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event], seed: int
) -> None:
    data_dir = tmp_path_factory.mktemp("landing")
    choose = random.Random(seed)
    landing = Landing(data_dir)
    position = 0
    while position < len(history):
        if choose.random() < 0.3:  # the process was restarted and resumes from an earlier cursor
            landing.close()
            landing = Landing(data_dir)
            position = choose.randint(0, position)
        size = choose.randint(1, 8)
        landing.append(batch_of(history[position : position + size]), "one.example", "jetstream-v1")
        position = min(position + size, len(history))
    assert stored_likes(data_dir) == model(history)
    for _ in range(3):  # any stretch again, in any order, changes nothing
        first, last = sorted(choose.choices(range(len(history) + 1), k=2))
        stretch = history[first:last]
        choose.shuffle(stretch)
        landing.append(elsewhere(stretch, choose), "two.example", "jetstream-v1")
        assert stored_likes(data_dir) == model(history)
    landing.close()


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def append(landing: Landing, *events: Event) -> EventBatch:
    batch = batch_of(list(events))
    landing.append(batch, "one.example", "jetstream-v1")
    return batch


def test_an_update_changes_the_subject(landing: Landing, tmp_path: Path) -> None:
    append(landing, Like(LIKERS[0], 5, AUTHORS[0], 1, START + 1))
    moved = Like(LIKERS[0], 5, AUTHORS[1], 2, START + DAY_US + 10)
    append(landing, moved)
    assert stored_likes(tmp_path) == {tuple(moved[:5])}


def test_a_like_may_come_late(landing: Landing, tmp_path: Path) -> None:
    """That a day is closed says where its words are read from, never that they are refused."""
    append(landing, Like(LIKERS[0], tid_at(START), AUTHORS[0], 1, START))
    append(landing, Like(LIKERS[0], tid_at(START + 9 * DAY_US), AUTHORS[0], 1, START + 9 * DAY_US))
    late = Like(LIKERS[1], tid_at(START + 7), AUTHORS[0], 1, START + 8)
    append(landing, late)
    assert tuple(late[:5]) in stored_likes(tmp_path)


def test_an_unlike_is_kept_whatever_came_first(landing: Landing, tmp_path: Path) -> None:
    append(landing, Unlike(LIKERS[0], 9, START + 100))
    append(landing, Unlike(LIKERS[0], 9, START + 50))
    append(landing, Like(LIKERS[0], 9, AUTHORS[0], 1, START + 70))
    with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
        words = connection.execute("SELECT rkey, rev >> 10, author_id FROM like_words").fetchall()
    assert words == [(9, START + 100, None)]


def test_the_last_of_several_operations_in_one_commit_counts(landing: Landing, tmp_path: Path) -> None:
    """They have one rev; a stream brings them in order, a relay's frame at one time."""
    liked = Like(LIKERS[0], 5, AUTHORS[0], 1, START + 9)
    gone = told.Unlike(LIKERS[0], 5, START + 8, liked.rev)
    for events in ([gone, liked], [liked, gone], [gone], [liked]):
        append(landing, *events)
    assert stored_likes(tmp_path) == {tuple(liked[:5])}
    later = told.Unlike(LIKERS[0], 5, START + 10, liked.rev)
    append(landing, later)
    append(landing, liked, later)
    assert stored_likes(tmp_path) == set()


def test_posts_keep_their_last_state(landing: Landing, tmp_path: Path) -> None:
    made = Post(AUTHORS[0], 7, START, START + 10, 1, "en")
    append(landing, PostDeletion(AUTHORS[0], 8, START + 20), made)
    append(landing, PostDeletion(AUTHORS[0], 7, START + 30))
    append(landing, made, Post(AUTHORS[0], 8, START, START + 10, 0, ""))
    with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
        rows = connection.execute(
            "SELECT rkey, rev >> 10, deleted_rev >> 10, langs FROM posts ORDER BY rkey"
        ).fetchall()
    assert rows == [(7, START + 10, START + 30, "en"), (8, START + 10, START + 20, "")]


def test_likes_of_posts_never_seen_are_kept_and_counted(landing: Landing, tmp_path: Path) -> None:
    append(landing, Post(AUTHORS[0], 7, START, START, 0, "en"))
    batch = append(
        landing, Like(LIKERS[0], 1, AUTHORS[0], 7, START + 1), Like(LIKERS[0], 2, AUTHORS[0], 8, START + 2)
    )
    assert batch.counts["event", "like_of_unknown_post"] == 1
    assert len(stored_likes(tmp_path)) == 2


def test_the_last_word_of_the_stream_about_an_account_counts(landing: Landing, tmp_path: Path) -> None:
    """Whatever the clocks of the hosts say that wrote it; what a file says counts when it was seen later."""

    def status() -> list[tuple[int]]:
        with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
            return connection.execute("SELECT status FROM actors").fetchall()

    append(landing, AccountChange(LIKERS[0], AccountStatus.DEACTIVATED, START + 9))
    append(landing, AccountChange(LIKERS[0], AccountStatus.ACTIVE, START + 5))
    assert status() == [(AccountStatus.ACTIVE,)]
    told_again = batch_of([AccountChange(LIKERS[0], AccountStatus.TAKENDOWN, START + 4)])
    landing.append(told_again, "", "jetstream-v1", in_order=False)
    assert status() == [(AccountStatus.ACTIVE,)]
    told_later = batch_of([AccountChange(LIKERS[0], AccountStatus.TAKENDOWN, START + 6)])
    landing.append(told_later, "", "jetstream-v1", in_order=False)
    assert status() == [(AccountStatus.TAKENDOWN,)]


def test_cursor_and_events_are_one_transaction(landing: Landing, tmp_path: Path) -> None:
    append(landing, Like(LIKERS[0], 1, AUTHORS[0], 1, START + 5))
    bad = batch_of([Like(LIKERS[1], 2, AUTHORS[0], 1, START + 6)])
    bad.posts.append(told.Post(AUTHORS[0], 2**70, 0, 0, 0, "", 0))  # no 64-bit number: the statement fails
    with pytest.raises(OverflowError):
        landing.append(bad, "one.example", "jetstream-v1")
    position = landing.position()
    assert position is not None
    assert position.value == START + 5
    assert len(stored_likes(tmp_path)) == 1
    append(landing, Like(LIKERS[1], 2, AUTHORS[0], 1, START + 6))
    assert len(stored_likes(tmp_path)) == 2


def in_the_lake(data_dir: Path, day: int, told_until: int) -> None:
    for file in (places.likes(data_dir, day), places.changes_file(data_dir, day, told_until)):
        file.parent.mkdir(parents=True)
        file.touch()


def test_a_day_in_the_lake_is_purged_a_little_at_a_time(landing: Landing, tmp_path: Path) -> None:
    append(landing, *[Like(f"did:plc:l{n}", tid_at(START, n), AUTHORS[0], n, START) for n in range(100)])
    (told_until,) = landing.connection.execute("SELECT commit_no FROM last_commit").fetchone()
    append(landing, Like(LIKERS[0], tid_at(START + 3 * DAY_US), AUTHORS[0], 1, START + 3 * DAY_US))
    append(landing, Like(LIKERS[1], tid_at(START + 1), AUTHORS[0], 1, START + 3 * DAY_US))
    assert Retention(landing, tmp_path, 90, slice_rows=30).step() == 0
    in_the_lake(tmp_path, day_of(START), told_until)
    retention = Retention(landing, tmp_path, 90, slice_rows=30)
    gone = [retention.step() for _ in range(4)]
    assert gone == [30, 30, 30, 10]
    for _ in range(10):
        retention.step()
    assert len(stored_likes(tmp_path)) == 2, "what was told since the file was written stays"


def test_old_posts_and_words_leave(landing: Landing, tmp_path: Path) -> None:
    """What is older than the window, and keys of the future whose likes were seen before it."""
    old, new = START, START + 20 * DAY_US
    for time_us in (old, new):
        append(
            landing,
            Post(AUTHORS[0], tid_at(time_us), time_us, time_us, 0, "en"),
            Post(AUTHORS[0], tid_at(time_us + 400 * DAY_US), time_us, time_us, 0, "en"),  # a clock ahead
            Unlike(LIKERS[0], tid_at(time_us), time_us),
            Like(LIKERS[1], tid_at(time_us + 400 * DAY_US), AUTHORS[0], 1, time_us),
        )
    retention = Retention(landing, tmp_path, 15)
    for _ in range(20):
        retention.step()
    with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
        assert connection.execute("SELECT seen_us FROM posts").fetchall() == [(new,), (new,)]
        assert connection.execute("SELECT seen_us FROM like_words").fetchall() == [(new,), (new,)]


def test_a_post_that_was_moved_here_stays_and_a_deletion_as_long_as_likes_count(
    landing: Landing, tmp_path: Path
) -> None:
    """An old key says nothing of when a post came; and likes of a deleted post must not count again."""
    old_key, deleted_key = tid_at(START - 40 * DAY_US), tid_at(START - 41 * DAY_US)
    append(landing, Post(AUTHORS[0], old_key, START, START, 0, "en"))
    append(landing, Post(AUTHORS[1], deleted_key, START - 41 * DAY_US, START - 41 * DAY_US, 0, "en"))
    append(landing, PostDeletion(AUTHORS[1], deleted_key, START - 20 * DAY_US))
    append(landing, Like(LIKERS[0], 1, AUTHORS[0], 1, START))

    def keys() -> list[tuple[int, bool]]:
        retention = Retention(landing, tmp_path, 90)
        for _ in range(20):
            retention.step()
        rows = landing.connection.execute("SELECT rkey, deleted_rev >= rev FROM posts ORDER BY rkey")
        return [(rkey, bool(deleted)) for rkey, deleted in rows]

    assert keys() == [(deleted_key, True), (old_key, False)]
    append(landing, Like(LIKERS[0], 2, AUTHORS[0], 1, START + 15 * DAY_US))
    assert keys() == [(deleted_key, True)]
    append(landing, Like(LIKERS[0], 3, AUTHORS[0], 1, START + 60 * DAY_US))
    assert keys() == []


def test_an_edit_makes_no_post_younger(landing: Landing) -> None:
    made_us = START - 120 * HOUR_US
    append(landing, Post(AUTHORS[0], tid_at(made_us), made_us, made_us, 0, "en"))
    edited = batch_of([Post(AUTHORS[0], tid_at(made_us), START, START, 4, "de")])
    landing.append(edited, "one.example", "jetstream-v1")
    rows = landing.connection.execute("SELECT created_us, seen_us, flags, langs FROM posts").fetchall()
    assert rows == [(made_us, made_us, 4, "de")]


def test_a_gap_is_stored_once(landing: Landing, tmp_path: Path) -> None:
    for _ in range(2):
        batch = batch_of([Like(LIKERS[0], 1, AUTHORS[0], 1, START + HOUR_US)])
        batch.gap = told.Gap(START, START + HOUR_US)
        landing.append(batch, "one.example", "jetstream-v1")
    with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
        rows = connection.execute("SELECT from_us, to_us, host FROM gaps").fetchall()
    assert rows == [(START, START + HOUR_US, "one.example")]


def test_likes_before_a_deletion_stay_gone_when_the_account_is_back(landing: Landing, tmp_path: Path) -> None:
    before, later = START + 5, START + HOUR_US
    append(landing, Like(LIKERS[0], 1, AUTHORS[0], 1, before))
    append(landing, AccountChange(LIKERS[0], AccountStatus.DELETED, START + 10))
    append(landing, AccountChange(LIKERS[0], AccountStatus.ACTIVE, later))
    again = Like(LIKERS[0], 2, AUTHORS[0], 1, later + 1)
    append(landing, again)
    landing.close()
    append(Landing(tmp_path), Like(LIKERS[0], 1, AUTHORS[0], 1, before))  # a replay after a restart
    assert stored_likes(tmp_path) == {tuple(again[:5])}


def test_counters_add_up(landing: Landing, tmp_path: Path) -> None:
    for _ in range(2):
        batch = EventBatch()
        batch.drop("not_json")
        landing.append(batch, "one.example", "jetstream-v1")
    with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
        assert connection.execute("SELECT * FROM counters").fetchall() == [("drop", "not_json", 2)]
    assert landing.position() is None


def test_a_store_of_a_newer_program_is_refused(landing: Landing, tmp_path: Path) -> None:
    landing.close()
    with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
        connection.execute("INSERT INTO _migrations VALUES (999, 'from the future')")
    with pytest.raises(StoreError, match="version 999"):
        Landing(tmp_path)


def test_the_lake_is_where_compaction_puts_it(tmp_path: Path) -> None:
    file = places.likes(tmp_path, day_of(START))
    assert file == tmp_path / "lake/likes/day=2024-10-04/likes.parquet"
    assert places.closed_days(tmp_path) == set()
    file.parent.mkdir(parents=True)
    (file.parent.parent / "day=tomorrow").mkdir()
    (file.parent.parent / "day=tomorrow" / "likes.parquet").touch()
    assert places.closed_days(tmp_path) == set()
    file.touch()
    assert places.closed_days(tmp_path) == {day_of(START)}
