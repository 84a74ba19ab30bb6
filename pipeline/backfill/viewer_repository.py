"""The likes of one actor from their own repository: a new viewer whose likes the store lacks, or anybody of whom the
stream could not tell.

Owns: paging through a repository within bounds, which part of it was read whole, which of its likes are stored, and
whose turn it is. Leaves to others: requests (the command line passes an object, since it may know the web app's
fetcher), rows (``store.fetched_likes``).

The owner of a repository chooses its host, so everything about it is bounded: pages, likes, seconds. Malformed records
are dropped and counted.

A repository that was read is a statement at its rev, which is asked for before the first page. What is listed existed
at that rev or later; what is not listed, though it lies in the part that was read whole, did not exist at it. Later
words of the stream have greater revs, so they win. That part is:

- all keys, when the host came to the end of its list;
- otherwise, since hosts list from the largest key down, the keys from the last TID on before reading stopped (at the
  window's end, at enough likes, after too many pages). Keys that are no TIDs sort among these as text, but a number
  does not tell where: they are not of the part. When the list is not in falling order, nothing is;
- nothing, when the host does not tell its rev, tells one of the future, or a page was not understood. Then likes are
  only added.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from pipeline.clock import AHEAD_US, MachineClock
from pipeline.errors import BackfillError, StoreError
from pipeline.identifiers import is_did, rkey_to_int, tid_at, tid_time_us, tid_to_int
from pipeline.ingest.operations import LIKE
from pipeline.ingest.records import created_us, like_subject
from pipeline.ranking import Ranking
from pipeline.store.fetched_likes import (
    ABSENT,
    DONE,
    ENOUGH,
    HistoryLike,
    HistoryStore,
    Statement,
    Waiting,
)
from pipeline.store.landing import ALL_KEYS
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US
from sql import places

log = logging.getLogger("foryou.backfill")

PAGES_MAX = 60
VIEWER_SECONDS = 60.0  # after which no further page of one viewer is requested
RUN_VIEWERS = 20  # in one run for waiting viewers
RUN_RESETS = 10  # besides them, repositories that were replaced
RUN_SECONDS = 60.0  # after which that run fetches nobody else
LIKES_ENOUGH = 20
COUNT_DAYS = 14  # newest days of the lake whose likes are counted; more would take minutes
PAUSES = Waiting(again_us=30 * DAY_US, first_us=60_000_000, most_us=DAY_US)


class FetchTimes(NamedTuple):
    """When a fetch begins, in microseconds: by this machine's clock, and by the stream's where there is one."""

    machine_us: int
    stream_us: int


class RepositoryPage(Protocol):
    """An answer of a repository's host; outcome is 'ok', 'absent', 'busy' or 'unreachable'."""

    @property
    def outcome(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reason(self) -> str: ...


class Repositories(Protocol):
    """Asks the host of a DID's repository."""

    def __call__(self, did: str, collection: str, cursor: str | None) -> RepositoryPage:
        """Return the page of a collection's records after a cursor."""

    def latest_commit(self, did: str) -> RepositoryPage:
        """Return what com.atproto.sync.getLatestCommit says."""


@dataclass(slots=True)
class RepositoryLikes:
    """The likes that a repository has in the ranking's window, what its list states, and why likes are missing."""

    likes: list[HistoryLike] = field(default_factory=list)
    statement: Statement | None = None
    counts: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    absent: bool = False


def read_likes(did: str, repositories: Repositories, times: FetchTimes, ranking: Ranking) -> RepositoryLikes:
    """Return an actor's newest likes in the ranking's window, at most twice as many as there can be seeds."""
    listing = _Listing(did, times.stream_us, ranking)
    found = listing.found
    rev = _rev_of(repositories.latest_commit(did), max(times) + AHEAD_US)
    cursor: str | None = None
    cursors: set[str | None] = set()  # already requested
    deadline = time.monotonic() + VIEWER_SECONDS
    is_whole = False
    while len(cursors) < PAGES_MAX and cursor not in cursors and time.monotonic() < deadline:
        cursors.add(cursor)
        page = repositories(did, LIKE, cursor)
        if page.outcome != "ok":
            found.failure, found.absent = page.reason, page.outcome == "absent"
            break
        records, cursor = _page_of(page.body)
        if records is None:
            found.failure = "the repository's answer is not a page of records"
            break
        for record in records:
            listing.add(record)
        is_whole = cursor is None and not listing.is_at_end
        if not records or cursor is None or listing.is_at_end:
            break
    else:
        found.counts["cut_short"] += 1
    if rev is not None:
        found.statement = Statement(rev, None if found.failure else listing.read_from(is_whole=is_whole))
    return found


class _Listing:
    """A list of records as it is read: the likes in it, and down to which key it was read whole."""

    def __init__(self, did: str, now_us: int, ranking: Ranking) -> None:
        self.found = RepositoryLikes()
        self.is_at_end = False  # of the window, or of what is wanted
        self._did, self._now_us = did, now_us
        self._oldest_us = now_us - ranking.seed_window_days * DAY_US
        self._most = 2 * ranking.max_seeds
        self._keys: set[int] = set()
        self._last: str | None = None
        self._read_from: int | None = None
        self._is_falling = self._is_clear = True

    def add(self, record: object) -> None:
        """Take the next record of the list."""
        counts = self.found.counts
        uri = record.get("uri") if isinstance(record, dict) else None
        prefix = f"at://{self._did}/{LIKE}/"
        key = uri.removeprefix(prefix) if isinstance(uri, str) and uri.startswith(prefix) else None
        rkey = rkey_to_int(key)
        if not isinstance(record, dict) or key is None or rkey is None:
            counts["not_a_like"] += 1
            self._is_clear = False
            return
        self._is_falling = self._is_falling and (self._last is None or key < self._last)
        self._last = key
        if rkey in self._keys:
            return
        self._keys.add(rkey)
        value = record.get("value")
        seen_us = tid_time_us(rkey) if rkey >= 0 else created_us(_fields(value), self._now_us)
        if 0 <= rkey < tid_at(self._oldest_us):
            counts["older_than_the_window"] += 1
            self.is_at_end = True
            return
        if len(self.found.likes) >= self._most:
            self.is_at_end = True
            return
        subject = like_subject(value)
        if isinstance(subject, str):
            counts[subject] += 1
        else:
            self.found.likes.append(HistoryLike(rkey, *subject, min(seen_us, self._now_us)))
        if rkey >= 0 and not self.is_at_end:
            self._read_from = rkey

    def read_from(self, *, is_whole: bool) -> int | None:
        """Return the smallest key of the part that was read whole, None when there is no such part."""
        if not self._is_clear:
            return None
        if is_whole:
            return ALL_KEYS
        return self._read_from if self._is_falling else None


def run_viewer(
    data_dir: Path,
    did: str,
    repositories: Repositories,
    ranking: Ranking,
    machine: MachineClock | None = None,
) -> None:
    """Fetch one actor's likes, whatever the store has; BackfillError when they can't be fetched."""
    if not is_did(did):
        raise BackfillError(f"{did!r} is not a DID, such as did:plc:…")
    with exclusive(data_dir, "viewers"):
        store = HistoryStore(data_dir)
        try:
            found = _fetch(store, did, repositories, ranking, machine or MachineClock())
        finally:
            store.close()
    if found.failure:
        raise BackfillError(f"{did}: {found.failure}")


def run_waiting(
    data_dir: Path, repositories: Repositories, ranking: Ranking, machine: MachineClock | None = None
) -> None:
    """Fetch the likes of viewers who opened the feed and whose likes the store lacks, the longest waiting first.

    Then fetch some of the repositories that were replaced. Failures are stored with the actor, not raised. It returns
    quickly when nobody waits.
    """
    if not places.activity(data_dir).exists() and not places.landing(data_dir).exists():
        return
    try:
        with exclusive(data_dir, "viewers"):
            store = HistoryStore(data_dir)
            try:
                _fetch_waiting(data_dir, store, repositories, ranking, machine or MachineClock())
            finally:
                store.close()
    except StoreError as error:
        if "another viewers" not in str(error):
            raise
        log.info("another run is fetching them")


def _fetch_waiting(
    data_dir: Path, store: HistoryStore, repositories: Repositories, ranking: Ranking, machine: MachineClock
) -> None:
    times = _times(store, machine)
    until = time.monotonic() + RUN_SECONDS
    viewers = store.waiting(places.activity(data_dir), times.stream_us, PAUSES, RUN_VIEWERS)
    resets = store.resets(times.stream_us, PAUSES, RUN_RESETS)
    others = [did for did in viewers if store.reset_no(did) == 0]
    known = _count_likes(data_dir, store, others) if others else Counter[str]()
    for did in dict.fromkeys([*viewers, *resets]):
        if known[did] >= LIKES_ENOUGH:
            store.store_viewer(did, [], times.machine_us, ENOUGH, stream_us=times.stream_us, count=known[did])
        elif time.monotonic() < until:
            _fetch(store, did, repositories, ranking, machine)


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


def _fetch(
    store: HistoryStore, did: str, repositories: Repositories, ranking: Ranking, machine: MachineClock
) -> RepositoryLikes:
    """Fetch and store one actor's likes, also those from before a failure."""
    times, reset_no = _times(store, machine), store.reset_no(did)
    found = read_likes(did, repositories, times, ranking)
    outcome = DONE
    if found.absent:
        outcome = ABSENT
    elif found.failure:
        outcome, reset_no = f"{store.failures(did) + 1} failures: {found.failure}"[:200], 0
    store.store_viewer(
        did,
        found.likes,
        times.machine_us,
        outcome,
        stream_us=times.stream_us,
        statement=found.statement,
        reset_no=reset_no,
    )
    dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(found.counts.items()))
    log.info(
        "%s: %d likes%s (%s)", did, len(found.likes), f", left out: {dropped}" if dropped else "", outcome
    )
    return found


def _times(store: HistoryStore, machine: MachineClock) -> FetchTimes:
    """Return when a fetch begins. Only the stream's time says who is due: this machine's may be set."""
    now_us = machine.now_us()
    return FetchTimes(now_us, store.watermark_us() or now_us)


def _rev_of(page: RepositoryPage, latest_us: int) -> int | None:
    """Return the revision that a host tells, None when it tells none that can be."""
    if page.outcome != "ok":
        return None
    try:
        commit = orjson.loads(page.body)
    except (orjson.JSONDecodeError, RecursionError):
        return None
    text = commit.get("rev") if isinstance(commit, dict) else None
    rev = tid_to_int(text) if isinstance(text, str) else None
    return rev if rev is not None and rev <= tid_at(latest_us) else None


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


def _fields(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
