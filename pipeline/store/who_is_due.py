"""What the timetable needs to know: who waits for a list, who was seen lately, whose likes were never fetched, whose
profile was never asked for, and when a job last ran.

Owns: these queries over up to three stores, without the batch's libraries, and the record of runs for waiting viewers.
Leaves to others: making the lists (``batch.few_viewers_job``), fetching the likes (``backfill.fetch_waiting``).

Read only, except for ``mark_waiting`` and ``mark_likes``, which the batch calls on its own store. A store that is
absent, or not migrated yet, has nobody waiting.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sql
from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import rows_of, transaction

RECENT_SECONDS = 1800.0
VIEWERS = 50  # in one run; the next one takes the rest
LATELY_US = DAY_US  # runs for everybody serve those whose visits and answers are older
AGAIN_US = 600_000_000  # after which a viewer is tried again for whom no list could be made
KNOWN_AFTER_DAYS = 2  # as in serving/budgets/limits.py, which the pipeline may not import
# The list of a viewer who opened a feed in the last half hour follows the likes that the stream reports of them, until
# they have so many. From then on it does so while they scroll, when newcomers leave time for it; the runs of the
# timetable renew it in any case.
FEW_LIKES = 20
LIKED_AGAIN_US = 20_000_000
LIKED_US = 300_000_000
SCROLLING_US = 120_000_000
SCROLLED_AGAIN_US = 40_000_000
REST = 4  # such lists take at most a fifth of the time
PROFILE_US = 7 * DAY_US  # changes come on the stream: this is for those that it missed


def waiting_viewers(
    data_dir: Path, now_us: int, *, since_us: int | None = None, rows: int = VIEWERS
) -> list[str]:
    """Return the DIDs of viewers who wait for a list: of each kind of them as many as there is room for.

    ``since_us`` is the earliest time of their visit or answer, by default a day ago.
    """
    lately = {"since_us": now_us - LATELY_US if since_us is None else since_us}
    parameters = {
        **lately,
        "now_us": now_us,
        "again_us": AGAIN_US,
        "rows": rows,
        "few": FEW_LIKES,
        "known_day": now_us // DAY_US - KNOWN_AFTER_DAYS,
        "open_us": now_us - int(RECENT_SECONDS * 1e6),
        "liked_again_us": LIKED_AGAIN_US,
        "liked_us": LIKED_US,
        "scrolling_us": now_us - SCROLLING_US,
        "scrolled_again_us": SCROLLED_AGAIN_US,
        "rest": REST,
    }
    found = _rows(data_dir, "serving", ("activity", "landing"), "serving/waiting_viewers", parameters)
    return [did for (did,) in found]


def recent_viewers(data_dir: Path, now_us: int, seconds: float = RECENT_SECONDS) -> list[str]:
    """Return the DIDs of viewers who opened a feed in the last half hour, or in so many seconds."""
    since = {"since_us": now_us - int(seconds * 1e6)}
    return [did for (did,) in _rows(data_dir, "activity", (), "activity/recent_viewers", since)]


def unknown_viewers(data_dir: Path, since_us: int) -> list[str]:
    """Return one DID at most: of a viewer who came since a time and whose likes were never fetched."""
    since = {"since_us": since_us}
    return [did for (did,) in _rows(data_dir, "landing", ("activity",), "landing/unfetched_visitor", since)]


def viewers_with_settings(data_dir: Path, dids: Sequence[str]) -> set[str]:
    """Return which of some viewers set something for themselves at the pages."""
    found = _rows(data_dir, "activity", (), "activity/settings_of", {"dids": json.dumps(list(dids))})
    return {did for did, *_ in found}


def has_gaps(data_dir: Path, window_days: int) -> bool:
    """Tell whether something is missing of the last so many days, since the midnight before the store begins."""
    window = {"window_us": window_days * DAY_US}
    return bool(_rows(data_dir, "landing", (), "landing/has_gaps", window))


def authors_to_ask_about(data_dir: Path, now_us: int, rows: int = 1) -> list[tuple[int, str]]:
    """Return number and DID of authors that lists name and whose profiles were not asked for lately."""
    wanted = {"now_us": now_us, "again_us": PROFILE_US, "rows": rows}
    return _rows(data_dir, "landing", ("serving",), "landing/authors_to_ask_about", wanted)


def last_run(data_dir: Path, job: str) -> tuple[int, float] | None:
    """Return when the last complete run of neighbours or candidates began (microseconds), and its seconds."""
    last_step = {"neighbours": "commit", "candidates": "prune generations"}[job]
    rows = _rows(data_dir, "serving", (), "serving/last_run", {"job": job, "last_step": last_step})
    return (int(rows[0][0]), float(rows[0][1])) if rows else None


def last_commit(data_dir: Path) -> int:
    """Return the number of the last commit of landing.sqlite that reported a word about a like."""
    rows = _rows(data_dir, "landing", (), "landing/last_commit", {})
    return int(rows[0][0]) if rows else 0


def mark_waiting(serving: sqlite3.Connection, dids: Sequence[str], began_us: int, commit_no: int = 0) -> None:
    """Record that a run for these waiting viewers began, so that the next one is due only for something newer."""
    with transaction(serving):
        serving.executemany(
            sql.load("serving/mark_waiting"),
            [{"viewer_did": did, "began_us": began_us, "commit_no": commit_no} for did in dids],
        )
        serving.execute("DELETE FROM waiting_runs WHERE began_us < ?", (began_us - 2 * LATELY_US,))


def mark_likes(serving: sqlite3.Connection, likes: Mapping[str, int]) -> None:
    """Record how many likes of each waiting viewer a run knew."""
    with transaction(serving):
        serving.executemany(
            "UPDATE waiting_runs SET likes = ? WHERE viewer_did = ?",
            [(count, did) for did, count in likes.items()],
        )


def _rows(
    data_dir: Path, store: str, attached: Sequence[str], query: str, parameters: Mapping[str, int | str]
) -> list[tuple[Any, ...]]:
    others = {name: places.store(data_dir, name) for name in attached}
    return rows_of(places.store(data_dir, store), sql.load(query), parameters, others)
