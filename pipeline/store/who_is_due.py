"""Who waits for a list, who was seen lately, whose likes nobody has looked for, what ran when: what the
timetable asks.

Owns: these questions, asked of three stores at once without the batch's libraries, and the record of who was
seen to. Leaves to others: making the lists (``batch.few_viewers_job``), fetching the likes
(``backfill.viewer_repository``).

Read only, but for ``mark_waiting``, which the batch calls on its own store. A store that is not there yet, or not
as new as this program, has nobody waiting.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import sql
from pipeline.store.model import DAY_US
from sql import places
from sql.sqlite import connect, transaction

RECENT_SECONDS = 1800.0
VIEWERS = 50  # of one run; whoever is left is the next one's
LATELY_US = DAY_US  # a visit, or an answer, older than this is the business of the runs for all
AGAIN_US = 600_000_000  # after which one is tried again for whom no list could be made


def waiting_viewers(
    data_dir: Path, now_us: int, *, since_us: int | None = None, rows: int = VIEWERS
) -> list[str]:
    """Return the DIDs of viewers who wait for a list, the last to come first.

    ``since_us`` bounds how long ago they came, or answered: by default a day.
    """
    lately = {"since_us": now_us - LATELY_US if since_us is None else since_us}
    return _ask(data_dir, "serving", ("activity", "landing"), "serving/waiting_viewers",
                {"now_us": now_us, "again_us": AGAIN_US, "rows": rows, **lately})  # fmt: skip


def recent_viewers(data_dir: Path, now_us: int, seconds: float = RECENT_SECONDS) -> list[str]:
    """Return the DIDs of those who asked for a feed in the last half hour, or in so many seconds."""
    since = {"since_us": now_us - int(seconds * 1e6)}
    return _ask(data_dir, "activity", (), "activity/recent_viewers", since)


def unknown_viewers(data_dir: Path, since_us: int) -> list[str]:
    """Return one DID, if there is any, of a viewer who came since a time and whose likes were never looked for."""
    return _ask(data_dir, "landing", ("activity",), "landing/unfetched_visitor", {"since_us": since_us})


def last_run(data_dir: Path, job: str) -> tuple[int, float] | None:
    """Return when the last whole run of neighbours or candidates began (microseconds), and its seconds."""
    last_step = {"neighbours": "commit", "candidates": "prune generations"}[job]
    try:
        serving = connect(places.serving(data_dir), read_only=True)
    except sqlite3.OperationalError:
        return None
    try:
        row = serving.execute(sql.load("serving/last_run"), {"job": job, "last_step": last_step}).fetchone()
        return None if row is None else (int(row[0]), float(row[1]))
    except sqlite3.OperationalError:
        return None
    finally:
        serving.close()


def mark_waiting(serving: sqlite3.Connection, dids: Sequence[str], began_us: int) -> None:
    """Remember that a run for these viewers began, so that the next one is due when something is new."""
    with transaction(serving):
        serving.executemany(
            sql.load("serving/mark_waiting"), [{"viewer_did": did, "began_us": began_us} for did in dids]
        )
        serving.execute("DELETE FROM waiting_runs WHERE began_us < ?", (began_us - 2 * LATELY_US,))


def _ask(
    data_dir: Path, store: str, beside: Sequence[str], query: str, parameters: dict[str, int]
) -> list[str]:
    try:
        connection = connect(places.store(data_dir, store), read_only=True)
    except sqlite3.OperationalError:
        return []
    try:
        for name in beside:
            path = places.store(data_dir, name).absolute()
            connection.execute(f"ATTACH ? AS {name}", (f"{path.as_uri()}?mode=ro",))
        return [row[0] for row in connection.execute(sql.load(query), parameters)]
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()
