"""Which generation of lists is visible in serving.sqlite.

Owns: that one number, for callers without the batch's libraries. Leaves to others: making a generation
(``batch.publish.generations``).
"""

import sqlite3
from pathlib import Path

from sql import places
from sql.sqlite import connect


def newest_generation(data_dir: Path) -> int:
    """Return the number of the newest published generation, 0 while there is none."""
    try:
        serving = connect(places.serving(data_dir), read_only=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return newest(serving)
    except sqlite3.OperationalError:
        return 0  # another process made it and has not migrated it yet
    finally:
        serving.close()


def newest(serving: sqlite3.Connection) -> int:
    """Return the same of a store that is open."""
    return int(serving.execute("SELECT coalesce(max(generation), 0) FROM generations").fetchone()[0])
