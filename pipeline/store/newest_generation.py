"""Which generation of lists is visible in serving.sqlite.

Owns: that one number, for callers without the batch's libraries. Leaves to others: making a generation
(``batch.publish.generations``).
"""

import sqlite3
from pathlib import Path

from sql import places
from sql.sqlite import rows_of

NEWEST = "SELECT coalesce(max(generation), 0) FROM generations"


def newest_generation(data_dir: Path) -> int:
    """Return the number of the newest published generation, 0 while there is none."""
    rows = rows_of(places.serving(data_dir), NEWEST)
    return int(rows[0][0]) if rows else 0


def newest(serving: sqlite3.Connection) -> int:
    """Return the same of a store that is open."""
    return int(serving.execute(NEWEST).fetchone()[0])
