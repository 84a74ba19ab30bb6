"""The figures of the operator's and the analysts' pages, as one JSON file that the web app shows.

Owns: dashboard.json: which queries fill it, and the history that no store keeps. Leaves to others: drawing
(``serving.pages.plots``), the queries (``sql/explore``).

The file is replaced whole. Refreshing takes at most a fiftieth of the time, however often ``refresh`` is called.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.explore import queries, session, table_copies
from pipeline.explore.queries import QueryError
from pipeline.settings import Settings
from pipeline.store.analyst_snapshot import SNAPSHOT, copy_of, current_snapshot, likes_since
from pipeline.store.whole_files import whole
from sql import places

TIME_SHARE = 0.02
HISTORY_POINTS = 2_000  # a week of points every five minutes

QUERIES: dict[str, dict[str, str]] = {
    "likes_per_hour": {"hours": "72"},
    "coverage": {},
    "like_rate_by_position": {},
    "like_rate_by_source": {},
    "like_rate_by_age": {},
    "languages": {},
    "viewers_per_day": {},
    "repeat_rate": {},
}
STREAMS = next(table for table in table_copies.TABLES if table.relation == "streams")

Figures = dict[str, Any]

log = logging.getLogger("foryou.explore")


def refresh(settings: Settings) -> bool:
    """Rewrite the file, unless it is too new or there are no lists yet; tell whether it was rewritten."""
    snapshot = current_snapshot(settings.data_dir)
    if snapshot is None or not copy_of(snapshot, SNAPSHOT).exists():
        return False
    path = places.dashboard(settings.data_dir)
    former = read(path)
    began = time.time()
    if began - former.get("written_at", 0.0) < former.get("seconds", 0.0) / TIME_SHARE:
        return False
    figures = figures_of(settings)
    streams = table_copies.rows_of(settings.data_dir, STREAMS)
    newest = max(streams.column("event_us").to_pylist(), default=None)
    point = {
        "at": began,
        "lag_seconds": None if newest is None else began - newest / 1e6,
        "list_share": next((row["list_share"] for row in figures["coverage"]), None),
        "long_share": next((row["long_share"] for row in figures["coverage"]), None),
    }
    figures["history"] = [*former.get("history", []), point][-HISTORY_POINTS:]
    figures["written_at"] = began
    figures["seconds"] = time.time() - began
    with whole(path, synced=False) as draft:
        draft.write_text(json.dumps(figures, default=str), encoding="utf-8")
    return True


def figures_of(settings: Settings) -> Figures:
    """Return each query's rows, and how many likes are stored."""
    figures: Figures = {}
    with session.open_session(settings.data_dir, settings.batch_threads) as connection:
        for name, given in QUERIES.items():
            query = queries.find(name)
            try:
                rows = session.run(connection, settings.data_dir, query, query.values(given))
                figures[name] = rows.to_dicts()
            except QueryError as error:  # one query may be too large for the machine; the others still run
                log.warning("the dashboard lacks %s", error)
                figures[name] = []
    snapshot = current_snapshot(settings.data_dir)
    files = [] if snapshot is None else likes_since(snapshot, 0)
    figures["likes_stored"] = sum(pq.read_metadata(file).num_rows for file in files)
    return figures


def read(path: Path) -> Figures:
    """Return the file's figures, {} when it is missing or malformed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
