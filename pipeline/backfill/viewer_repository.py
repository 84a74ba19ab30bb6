"""The likes of one viewer from their own repository, for a new viewer whose likes the store lacks.

Owns: paging through a repository within bounds, which of its likes are stored, and whose turn it is. Leaves to others:
requests (the command line passes a function, since it may know the web app's fetcher), rows (``store.fetched_likes``).

The owner of a repository chooses its host, so everything about it is bounded: pages, likes, seconds. Records come
newest first. Malformed ones are dropped and counted.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson

from pipeline.errors import BackfillError, StoreError
from pipeline.identifiers import is_did, rkey_to_int, tid_time_us
from pipeline.ingest.operations import LIKE
from pipeline.ingest.records import like_subject
from pipeline.ranking import Ranking
from pipeline.store.fetched_likes import ABSENT, DONE, ENOUGH, HistoryLike, HistoryStore, Waiting
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US
from sql import places

log = logging.getLogger("foryou.backfill")

PAGES_MAX = 60
VIEWER_SECONDS = 60.0  # after which no further page of one viewer is requested
RUN_VIEWERS = 20  # in one run for waiting viewers
RUN_SECONDS = 60.0  # after which that run fetches no further viewer
LIKES_ENOUGH = 20
COUNT_DAYS = 14  # newest days of the lake whose likes are counted; more would take minutes
PAUSES = Waiting(again_us=30 * DAY_US, first_us=60_000_000, most_us=DAY_US)


class RepositoryPage(Protocol):
    """An answer of a repository's host; outcome is 'ok', 'absent', 'busy' or 'unreachable'."""

    @property
    def outcome(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reason(self) -> str: ...


# Reads a page of a DID's records of a collection after a cursor.
ReadPage = Callable[[str, str, str | None], RepositoryPage]


@dataclass(slots=True)
class RepositoryLikes:
    """The likes that a repository has in the ranking's window, and why some or all are missing."""

    likes: list[HistoryLike] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    absent: bool = False


def read_likes(did: str, read_page: ReadPage, now_us: int, ranking: Ranking) -> RepositoryLikes:
    """Return a viewer's newest likes in the ranking's window, at most twice as many as there can be seeds."""
    found = RepositoryLikes()
    oldest_us = now_us - ranking.seed_window_days * DAY_US
    most = 2 * ranking.max_seeds
    cursor: str | None = None
    cursors: set[str | None] = set()  # already requested
    rkeys: set[int] = set()
    deadline = time.monotonic() + VIEWER_SECONDS
    while len(cursors) < PAGES_MAX and cursor not in cursors and time.monotonic() < deadline:
        cursors.add(cursor)
        page = read_page(did, LIKE, cursor)
        if page.outcome != "ok":
            found.failure, found.absent = page.reason, page.outcome == "absent"
            return found
        records, cursor = _page_of(page.body)
        if records is None:
            found.failure = "the repository's answer is not a page of records"
            return found
        reached_oldest = False
        for record in records:
            like = _like_of(record, did, now_us, found.counts)
            if like is None or like.rkey in rkeys:
                continue
            rkeys.add(like.rkey)
            if like.seen_us < oldest_us:
                reached_oldest = True
                found.counts["older_than_the_window"] += 1
            elif len(found.likes) < most:
                found.likes.append(like)
        if not records or not cursor or reached_oldest or len(found.likes) >= most:
            return found
    found.counts["cut_short"] += 1
    return found


def run_viewer(data_dir: Path, did: str, read_page: ReadPage, ranking: Ranking) -> None:
    """Fetch one viewer's likes, whatever the store has; BackfillError when they can't be fetched."""
    if not is_did(did):
        raise BackfillError(f"{did!r} is not a DID, such as did:plc:…")
    with exclusive(data_dir, "viewers"):
        store = HistoryStore(data_dir)
        try:
            found = _fetch(store, did, read_page, ranking)
        finally:
            store.close()
    if found.failure:
        raise BackfillError(f"{did}: {found.failure}")


def run_waiting(data_dir: Path, read_page: ReadPage, ranking: Ranking) -> None:
    """Fetch the likes of viewers who opened the feed and whose likes the store lacks, the longest waiting first.

    Failures are stored with the viewer, not raised. It returns quickly when nobody waits.
    """
    activity = places.activity(data_dir)
    if not activity.exists():
        return
    try:
        with exclusive(data_dir, "viewers"):
            store = HistoryStore(data_dir)
            try:
                _fetch_waiting(data_dir, store, activity, read_page, ranking)
            finally:
                store.close()
    except StoreError as error:
        if "another viewers" not in str(error):
            raise
        log.info("another run is fetching them")


def _fetch_waiting(
    data_dir: Path, store: HistoryStore, activity: Path, read_page: ReadPage, ranking: Ranking
) -> None:
    now_us = time.time_ns() // 1000
    until = time.monotonic() + RUN_SECONDS
    viewers = store.waiting(activity, now_us, PAUSES, RUN_VIEWERS)
    if not viewers:
        return
    known = _count_likes(data_dir, store, viewers)
    for did in viewers:
        if known[did] >= LIKES_ENOUGH and not store.was_reset(did):
            store.store_viewer(did, [], now_us, ENOUGH, count=known[did])
        elif time.monotonic() < until:
            _fetch(store, did, read_page, ranking)


def _count_likes(data_dir: Path, store: HistoryStore, viewers: Sequence[str]) -> Counter[str]:
    """Return how many likes the store has of each viewer, counted up to about LIKES_ENOUGH."""
    import duckdb  # takes a third of a second, which a run without waiting viewers need not spend

    ids = {number: did for did in viewers if (number := store.actor_id(did)) is not None}
    counted: Counter[str] = Counter()
    for day in sorted(places.closed_days(data_dir), reverse=True)[:COUNT_DAYS]:
        left = [number for number, did in ids.items() if counted[did] < LIKES_ENOUGH]
        if not left:
            break
        listed = ",".join(str(number) for number in left)
        query = f"SELECT liker_id, count(*) FROM read_parquet(?) WHERE liker_id IN ({listed}) GROUP BY 1"
        with duckdb.connect(":memory:", config={"threads": 1}) as connection:
            for number, count in connection.execute(query, [str(places.likes(data_dir, day))]).fetchall():
                counted[ids[number]] += count
    left = [number for number, did in ids.items() if counted[did] < LIKES_ENOUGH]
    if left:
        for number, count in store.count_likes(left).items():
            counted[ids[number]] += count
    return counted


def _fetch(store: HistoryStore, did: str, read_page: ReadPage, ranking: Ranking) -> RepositoryLikes:
    """Fetch and store one viewer's likes, also those from before a failure."""
    now_us = time.time_ns() // 1000
    found = read_likes(did, read_page, now_us, ranking)
    outcome = DONE
    if found.absent:
        outcome = ABSENT
    elif found.failure:
        outcome = f"{store.failures(did) + 1} failures: {found.failure}"[:200]
    store.store_viewer(did, found.likes, now_us, outcome)
    dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(found.counts.items()))
    log.info(
        "%s: %d likes%s (%s)", did, len(found.likes), f", left out: {dropped}" if dropped else "", outcome
    )
    return found


def _page_of(body: bytes) -> tuple[list[object] | None, str | None]:
    """Return the records of an answer, None when it is not a page, and the cursor of the next page."""
    try:
        page = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        return None, None
    records = page.get("records") if isinstance(page, dict) else None
    cursor = page.get("cursor") if isinstance(page, dict) else None
    if not isinstance(records, list):
        return None, None
    return records, cursor if isinstance(cursor, str) and 0 < len(cursor) <= 1000 else None


def _like_of(record: object, did: str, now_us: int, counts: Counter[str]) -> HistoryLike | None:
    uri = record.get("uri") if isinstance(record, dict) else None
    prefix = f"at://{did}/{LIKE}/"
    if not isinstance(record, dict) or not isinstance(uri, str) or not uri.startswith(prefix):
        counts["not_a_like"] += 1
        return None
    rkey = rkey_to_int(uri.removeprefix(prefix))
    if rkey is None or rkey < 0:
        counts["rkey_no_tid"] += 1
        return None
    subject = like_subject(record.get("value"))
    if isinstance(subject, str):
        counts[subject] += 1
        return None
    return HistoryLike(rkey, *subject, min(tid_time_us(rkey), now_us))
