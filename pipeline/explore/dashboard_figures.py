"""The figures of the operator's page, as one JSON file that the web app shows.

Owns: DATA_DIR/dashboard.json: which queries feed it, and the history it keeps of what stores do not. Leaves to
others: drawing (``serving.pages.dashboard``), the queries (``sql/explore``).

The file is replaced whole. Refreshing takes at most a fiftieth of the time, however often it is asked for.
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
from sql import places

TIME_SHARE = 0.02
HISTORY_POINTS = 2_000  # a week of points every five minutes

STREAMS = next(table for table in table_copies.TABLES if table.relation == "streams")

Figures = dict[str, Any]

log = logging.getLogger("foryou.explore")


def refresh(settings: Settings) -> bool:
    """Rewrite the file, unless that was done too lately or there are no lists yet; tell whether it was."""
    snapshot = current_snapshot(settings.data_dir)
    if snapshot is None or not copy_of(snapshot, SNAPSHOT).exists():
        return False
    path = places.dashboard(settings.data_dir)
    former = read(path)
    began = time.time()
    if began - former.get("written_at", 0.0) < former.get("seconds", 0.0) / TIME_SHARE:
        return False
    figures = figures_of(settings)
    newest = max((row["event_us"] for row in figures.pop("streams")), default=None)
    point = {
        "at": began,
        "lag_seconds": None if newest is None else began - newest / 1e6,
        "list_share": next((row["list_share"] for row in figures["coverage"]), None),
        "long_share": next((row["long_share"] for row in figures["coverage"]), None),
    }
    figures["history"] = [*former.get("history", []), point][-HISTORY_POINTS:]
    figures["written_at"] = began
    figures["seconds"] = time.time() - began
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(figures, default=str), encoding="utf-8")
    temporary.replace(path)
    return True


def figures_of(settings: Settings) -> Figures:
    """Return what the queries say, and where the streams stand, each as a list of rows by column."""
    asked = {
        "likes_per_hour": {"hours": "72"},
        "coverage": {},
        "like_rate_by_position": {},
    }
    figures: Figures = {}
    with session.open_session(settings.data_dir, settings.batch_threads) as connection:
        for name, given in asked.items():
            query = queries.find(name)
            try:
                rows = session.run(connection, settings.data_dir, query, query.values(given))
            except (
                QueryError
            ) as error:  # one that is too large for the machine does not take the others along
                log.warning("the dashboard goes without %s", error)
                figures[name] = []
            else:
                figures[name] = rows.to_dicts()
    snapshot = current_snapshot(settings.data_dir)
    files = [] if snapshot is None else likes_since(snapshot, 0)
    figures["likes_stored"] = sum(pq.read_metadata(file).num_rows for file in files)
    figures["streams"] = table_copies.rows_of(settings.data_dir, STREAMS).to_pylist()
    return figures


def read(path: Path) -> Figures:
    """Return the file's figures, {} when there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
