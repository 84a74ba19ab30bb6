"""Which superseded lists readers may still hold.

Owns: which generations are kept, and who is reading. Leaves to others: writing lists (``write_lists``),
removing those that nobody holds (``prune``).

A page cursor names the generation that its list came from, so what a viewer had within keep_minutes is to be
found as long. That is so for viewers who asked for a page within that time; of all others, who are nearly
everybody, the newest list alone is kept. Somebody whose first page in a long time was served in the second
before their list is replaced is not known here yet: their next page goes on in the new list, without the
posts they were shown (``serving.feed.paging``).
"""

import json
import sqlite3
from pathlib import Path

import sql
from pipeline.ranking import Ranking
from pipeline.store.who_is_due import recent_viewers


def oldest_kept(serving: sqlite3.Connection, ranking: Ranking, now_us: int) -> int:
    """Return the oldest generation that a reader may hold: that which was visible keep_minutes ago; 0 for none."""
    keep_since_us = now_us - int(ranking.keep_minutes * 60e6)
    found = serving.execute(sql.load("serving/oldest_kept"), {"keep_since_us": keep_since_us}).fetchone()[0]
    return int(found or 0)


def name_readers(serving: sqlite3.Connection, data_dir: Path, ranking: Ranking, now_us: int) -> int:
    """Make the table ``temp.readers`` (viewer_id) of viewers who asked for a page within keep_minutes; count them."""
    dids = recent_viewers(data_dir, now_us, ranking.keep_minutes * 60)
    serving.execute("CREATE TEMP TABLE IF NOT EXISTS readers (viewer_id INTEGER PRIMARY KEY)")
    serving.execute("DELETE FROM temp.readers")
    return serving.execute(sql.load("serving/add_readers"), {"dids": json.dumps(dids)}).rowcount
