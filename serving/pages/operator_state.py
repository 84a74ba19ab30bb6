"""How the installation is doing, in a few figures for its operator: viewers, requests, lists, runs, space.

Owns: which figures, read from the stores and the counts of the web app. Leaves to others: plots (``dashboard``), the
page's form (``html``), and the state of each part in full (``foryou status``).

What can't be read is left out: the page is for the moment when something is wrong.
"""

import shutil
from collections.abc import Callable
from typing import NamedTuple

from serving.config import ServingConfig
from serving.http.recent_pages import RecentPages
from serving.lists.list_store import ListStore
from serving.pages.html import age_text, counted
from serving.read_pool import ReadPool, StoreUnreadableError

DAY_SECONDS = 86_400.0
SLOW_MS = 1000.0
RUNS_SHOWN = 12
_READ_SECONDS = 0.5
_SPACE_SHARE_LEAST = 0.05


class StateFigure(NamedTuple):
    """A figure by name; ``wrong`` says that the operator should look at it."""

    name: str
    value: str
    wrong: bool = False


class LastRun(NamedTuple):
    """The last run of a job for a tier; ``problem`` is "" for one that went well."""

    job: str
    ago: str
    took: str
    peak_mb: float
    problem: str


class OperatorState:
    """Reads the figures; ``now`` gives seconds since 1970."""

    def __init__(
        self, config: ServingConfig, store: ListStore, recent: RecentPages, now: Callable[[], float]
    ) -> None:
        self._config, self._store, self._recent, self._now = config, store, recent, now
        self._serving = ReadPool(config.serving_path, "serving", busy_seconds=_READ_SECONDS)
        self._activity = ReadPool(config.activity_path, "activity", busy_seconds=_READ_SECONDS)

    def figures(self) -> list[StateFigure]:
        """Return the figures that can be read."""
        found: list[StateFigure] = []
        for read in (self._lists, self._viewers, self._requests, self._space):
            try:
                found += read()
            except (StoreUnreadableError, OSError, ValueError):
                continue
        return found

    def runs(self) -> list[LastRun]:
        """Return the last run of each job and tier, newest first."""
        newest = (
            "SELECT job, tier, max(run_id) FROM runs GROUP BY job, tier ORDER BY max(started_us) DESC LIMIT ?"
        )
        steps = (
            "SELECT started_us, seconds, peak_mb, outcome FROM runs WHERE job = ? AND tier = ? AND run_id = ?"
        )
        found = []
        try:
            with self._serving.snapshot() as connection:
                if connection is None:
                    return []
                for job, tier, run in connection.execute(newest, (RUNS_SHOWN,)).fetchall():
                    rows = connection.execute(steps, (job, tier, run)).fetchall()
                    ended = max(started / 1e6 + seconds for started, seconds, _, _ in rows)
                    problems = [outcome for _, _, _, outcome in rows if outcome != "done"]
                    took = sum(seconds for _, seconds, _, _ in rows)
                    found.append(
                        LastRun(
                            job if tier == "all" else f"{job}, {tier} viewers",
                            age_text(self._now() - ended),
                            f"{took:.1f} s",
                            max(peak for _, _, peak, _ in rows),
                            problems[0] if problems else "",
                        )
                    )
        except StoreUnreadableError:
            return []
        return found

    def _lists(self) -> list[StateFigure]:
        with self._store.read() as snapshot:
            current = snapshot.current() if snapshot else None
            if snapshot is None or current is None:
                return [StateFigure("lists", "none yet", wrong=True)]
            age = self._now() - snapshot.everybody_renewed_us() / 1e6
            return [
                StateFigure("people with a list", f"{self._store.viewers(snapshot, current.number):,}"),
                StateFigure("newest lists", f"{age_text(self._now() - current.published_us / 1e6)} ago"),
                StateFigure(
                    "everybody's lists", f"{age_text(age)} ago", wrong=age > self._config.lists_old_seconds
                ),
            ]

    def _viewers(self) -> list[StateFigure]:
        since_us = int((self._now() - DAY_SECONDS) * 1e6)
        with self._activity.snapshot() as connection:
            if connection is None:
                return []
            query = "SELECT count(DISTINCT viewer_did) FROM visits WHERE last_us >= ?"
            (viewers,) = connection.execute(query, (since_us,)).fetchone()
            query = "SELECT count(*) FROM interactions WHERE received_us >= ? AND event = 'requestLess'"
            (less,) = connection.execute(query, (since_us,)).fetchone()
        return [
            StateFigure("viewers, 24 hours", f"{viewers:,}"),
            StateFigure("show less, 24 hours", f"{less:,}"),
        ]

    def _requests(self) -> list[StateFigure]:
        recent = self._recent.figures()
        minutes = f"last {recent['seconds'] / 60:.0f} minutes" if recent["seconds"] > 90 else "last minute"
        found = [
            StateFigure(f"feed pages, {minutes}", f"{recent['pages']:,}"),
            StateFigure("feed pages a second", f"{recent['pages'] / max(recent['seconds'], 1.0):.2g}"),
        ]
        if recent["p99_ms"] is not None:
            text = f"{recent['p99_ms']:,.0f} ms"
            found.append(StateFigure("99 % of pages within", text, wrong=recent["p99_ms"] > SLOW_MS))
        elif recent["slower_than_ms"] is not None:
            text = f"{recent['slower_than_ms']:,.0f} ms"
            found.append(StateFigure("the slowest pages take more than", text, wrong=True))
        if recent["refused"] or recent["failed"]:
            text = f"{counted(recent['refused'], 'refusal')}, {counted(recent['failed'], 'failure')}"
            found.append(StateFigure("of the requests", text, wrong=True))
        return found

    def _space(self) -> list[StateFigure]:
        usage = shutil.disk_usage(self._config.data_dir)
        text = f"{usage.free / 1e9:,.0f} of {usage.total / 1e9:,.0f} GB"
        return [StateFigure("free space", text, wrong=usage.free < _SPACE_SHARE_LEAST * usage.total)]
