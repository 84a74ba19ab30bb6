"""The likes of one actor from their own repository: a new viewer whose likes the store lacks, or anybody of whom the
stream could not tell.

Owns: paging through a repository within bounds, which part of it was read whole, and storing what was read. Leaves to
others: requests (the command line passes an object, since it may know the web app's fetcher), rows
(``store.fetched_likes``), and whose repository is read when (``fetch_waiting``).

The owner of a repository chooses its host, so everything about it is bounded: pages, likes, seconds. Malformed records
are dropped and counted.

A repository that was read is a statement at its rev, which is read before the first page. What is listed existed
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import orjson

from pipeline.clock import AHEAD_US, MachineClock
from pipeline.errors import BackfillError
from pipeline.identifiers import is_did, rkey_to_int, tid_at, tid_time_us, tid_to_int
from pipeline.ingest.operations import LIKE
from pipeline.ingest.records import created_us, like_subject
from pipeline.ranking import Ranking
from pipeline.store.fetch_admission import HistoryLike, Statement
from pipeline.store.fetched_likes import ABSENT, DONE, FetchedFrom, HistoryStore
from pipeline.store.like_words import ALL_KEYS
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US

log = logging.getLogger("foryou.backfill")

PAGES_MAX = 60
LOCATE_SECONDS = 3.0


class Patience(NamedTuple):
    """How long a repository's host may take, in seconds."""

    first: float  # for its first answer
    page: float  # for every other one
    whole: float  # after which no further page is requested, and one under way ends


FIRST_PATIENCE = Patience(first=5.0, page=8.0, whole=15.0 - LOCATE_SECONDS)
SLOW_PATIENCE = Patience(first=10.0, page=10.0, whole=30.0)  # of a host that was too slow before
LONG_PATIENCE = Patience(first=15.0, page=15.0, whole=60.0)  # for one viewer, when the operator asks


class FetchTimes(NamedTuple):
    """When a fetch begins, in microseconds: by this machine's clock, and by the stream's where there is one."""

    machine_us: int
    stream_us: int


@runtime_checkable
class RepositoryPage(Protocol):
    """An answer of a repository's host.

    outcome is 'ok', 'absent', 'busy', 'slow', 'unreachable' or 'no_room' (there was no request).
    """

    @property
    def outcome(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reason(self) -> str: ...
    @property
    def retry_seconds(self) -> float | None: ...


class ViewerRepository(Protocol):
    """One DID's repository at its host."""

    @property
    def host(self) -> str: ...
    @property
    def domain(self) -> str: ...

    def page(self, collection: str, cursor: str | None, seconds: float) -> RepositoryPage:
        """Return the page of a collection's records after a cursor."""

    def latest_commit(self, seconds: float) -> RepositoryPage:
        """Return what com.atproto.sync.getLatestCommit says."""


class Repositories(Protocol):
    """Finds the hosts of repositories; may be used from any thread."""

    def document_domain(self, did: str) -> str:
        """Return the domain that has a DID's document; empty for the directory."""

    def locate(self, did: str, *, known: bool, seconds: float) -> ViewerRepository | RepositoryPage:
        """Return a DID's repository, or the answer that is none."""


@dataclass(slots=True)
class RepositoryLikes:
    """The likes that a repository has in the ranking's window, what its list states, and why likes are missing.

    ``outcome`` is the last answer's. ``is_late`` says that reading stopped for time.
    """

    likes: list[HistoryLike] = field(default_factory=list)
    statement: Statement | None = None
    counts: Counter[str] = field(default_factory=Counter)
    outcome: str = "ok"
    failure: str = ""
    retry_seconds: float | None = None
    is_late: bool = False
    host: str = ""

    @property
    def absent(self) -> bool:
        """Whether asking again would not help."""
        return self.outcome == "absent"

    def fail(self, page: RepositoryPage) -> None:
        """Note an answer that is none."""
        self.outcome, self.failure, self.retry_seconds = page.outcome, page.reason, page.retry_seconds


def read_likes(
    did: str,
    repository: ViewerRepository,
    times: FetchTimes,
    ranking: Ranking,
    patience: Patience = LONG_PATIENCE,
) -> RepositoryLikes:
    """Return an actor's newest likes in the ranking's window, at most twice as many as there can be seeds."""
    listing = _Listing(did, times.stream_us, ranking)
    found = listing.found
    found.host = repository.host
    deadline = time.monotonic() + patience.whole

    def left(seconds: float) -> float:
        return min(seconds, deadline - time.monotonic())

    commit = repository.latest_commit(left(patience.first))
    if commit.outcome in ("slow", "busy", "no_room"):
        found.fail(commit)
        return found
    rev = _rev_of(commit, max(times) + AHEAD_US)
    seconds = patience.page if commit.outcome == "ok" else patience.first
    cursor: str | None = None
    cursors: set[str | None] = set()  # already requested
    is_whole = False
    while len(cursors) < PAGES_MAX and cursor not in cursors and left(1.0) > 0:
        cursors.add(cursor)
        page = repository.page(LIKE, cursor, left(seconds))
        seconds = patience.page
        if page.outcome != "ok":
            found.fail(page)
            break
        records, cursor = _page_of(page.body)
        if records is None:
            found.outcome, found.failure = "unreachable", "the repository's answer is not a page of records"
            break
        for record in records:
            listing.add(record)
        is_whole = cursor is None and not listing.is_at_end
        if not records or cursor is None or listing.is_at_end:
            break
    else:
        found.counts["cut_short"] += 1
        found.is_late = left(1.0) <= 0
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
            times, reset_no = fetch_times(store, machine or MachineClock()), store.reset_no(did)
            repository = repositories.locate(did, known=True, seconds=LONG_PATIENCE.first)
            found = (
                failed(repository)
                if isinstance(repository, RepositoryPage)
                else read_likes(did, repository, times, ranking, LONG_PATIENCE)
            )
            store_found(store, did, found, times, reset_no)
        finally:
            store.close()
    if found.failure:
        raise BackfillError(f"{did}: {found.failure}")


def failed(page: RepositoryPage) -> RepositoryLikes:
    """Return that no repository was found, since its DID document was answered so."""
    found = RepositoryLikes()
    found.fail(page)
    return found


def store_found(
    store: HistoryStore,
    did: str,
    found: RepositoryLikes,
    times: FetchTimes,
    reset_no: int,
    why: str = "",
    *,
    is_stranger: bool = False,
) -> None:
    """Store one actor's likes, also those from before a failure; ``why`` says that they are to be fetched again.

    ``is_stranger``: what the store has room for of their likes is limited.
    """
    outcome, why = DONE, found.failure or why
    if found.absent:
        outcome = ABSENT
    elif why:
        outcome, reset_no = f"{store.failures(did) + 1} failures: {why}"[:200], 0
    found.counts += store.store_viewer(
        did,
        found.likes,
        times.machine_us,
        outcome,
        stream_us=times.stream_us,
        statement=found.statement,
        reset_no=reset_no,
        where=FetchedFrom(found.host, int((found.retry_seconds or 0.0) * 1e6)),
        is_stranger=is_stranger,
    )
    dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(found.counts.items()))
    left_out = f", left out: {dropped}" if dropped else ""
    log.info("%d likes of a viewer%s (%s)", len(found.likes), left_out, outcome)  # logs name no viewer


def fetch_times(store: HistoryStore, machine: MachineClock) -> FetchTimes:
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
