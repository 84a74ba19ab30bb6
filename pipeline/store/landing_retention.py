"""What is removed from landing.sqlite: words about likes that are in the lake or too old, and old posts.

Owns: which rows are removed and when, a little at a time, so that the stream never waits for it. Leaves to others: the
lake's own retention (``lake.compact``). It runs in ingest's writer, the one writer of the store, between two batches.
Each call is one short transaction.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import sql
from pipeline.identifiers import tid_at
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US, HOUR_US, NAMED_DAY, POST_DAYS, day_of, keys_of_day
from sql import places

SLICE_ROWS = 20_000
LOOK_SECONDS = 10.0
EVER = 1 << 62  # as a time or as the number of a commit: no bound


class Retention:
    """Removes what a landing store no longer needs, one slice a call."""

    def __init__(
        self, landing: Landing, data_dir: Path, history_days: float, slice_rows: int = SLICE_ROWS
    ) -> None:
        self._landing = landing
        self._data_dir = data_dir
        self._slice_rows = slice_rows
        self._history_us = int(history_days * DAY_US)
        self._slices: Iterator[int] = iter(())
        self._look_at = 0.0
        self._pruned_us = 0  # the time in keys up to which old posts were looked at
        self._look_back_at = 0.0

    def step(self) -> int:
        """Remove up to a slice of rows; return how many, 0 when nothing is due."""
        removed = next(self._slices, None)
        if removed is None:
            if time.monotonic() < self._look_at:
                return 0
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._slices = self._pass()
            removed = next(self._slices, 0)
        return removed

    def _pass(self) -> Iterator[int]:
        """Remove all that is due, yielding the number of rows after each slice."""
        landing, low_us = self._landing, self._landing.low_us
        execute = landing.connection.execute
        closed, changes = places.closed_days(self._data_dir), places.changes(self._data_dir)
        days = [int(row[0]) for row in execute(sql.load("landing/word_days"))]
        for day in days:
            if day in changes and (day in closed or day == NAMED_DAY):
                yield from self._purge(day, commit_no=changes[day].commit_no)
                execute("DELETE FROM like_days WHERE day = ?", (day,))
        oldest_us = low_us - self._history_us
        for day in days if low_us else ():
            if NAMED_DAY < day < day_of(oldest_us):
                yield from self._purge(day)
                execute("DELETE FROM like_days WHERE day = ?", (day,))
            elif day > day_of(low_us) + 1:  # a key of the future says nothing of when its like was made
                yield from self._purge(day, seen_before_us=oldest_us)
        yield from self._prune_posts(low_us)
        yield landing.removals.prune(low_us)
        yield execute("DELETE FROM statements WHERE rev < ?", (tid_at(max(oldest_us, 0)),)).rowcount

    def _purge(self, day: int, *, commit_no: int = EVER, seen_before_us: int = EVER) -> Iterator[int]:
        """Remove words of a day: reported up to a commit, of likes seen before a time."""
        first, end = keys_of_day(day)
        bounds = {
            "from_rkey": first,
            "until_rkey": end,
            "commit_no": commit_no,
            "seen_before_us": seen_before_us,
        }
        while removed := self._remove("landing/purge_words", {**bounds, "rows": self._slice_rows}):
            yield removed

    def _prune_posts(self, low_us: int) -> Iterator[int]:
        """Remove posts that were made and came long ago; the deletion of one as long as likes of it count.

        An hour of keys at a time, from where the last pass ended. What was kept there, an old post that came lately or
        a deletion, is looked at again after a day.
        """
        before_us = low_us - POST_DAYS * DAY_US
        if time.monotonic() >= self._look_back_at:
            self._look_back_at = time.monotonic() + DAY_US / 1e6
            row = self._landing.connection.execute("SELECT min(rkey) FROM posts").fetchone()
            self._pruned_us = before_us if row[0] is None else row[0] >> 10
        while self._pruned_us < before_us:
            until_us = min(self._pruned_us + HOUR_US, before_us)
            span = {
                "from_rkey": tid_at(max(self._pruned_us, 0)),
                "until_rkey": tid_at(max(until_us, 0)),
                "before_us": before_us,
                "deletions_before_rkey": tid_at(max(low_us - self._history_us, 0)),
            }
            removed = self._remove("landing/prune_posts", span)
            self._pruned_us = until_us
            if removed:
                yield removed
        future = {"after_rkey": tid_at(low_us + DAY_US), "before_us": before_us}
        yield self._remove("landing/prune_future_posts", future)

    def _remove(self, name: str, parameters: dict[str, int]) -> int:
        return self._landing.connection.execute(sql.load(name), parameters).rowcount
