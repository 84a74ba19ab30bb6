"""Communities into serving.sqlite, all of a feed at once.

Owns: the table ``communities``. Leaves to others: finding them (``lists.communities``), and reading (the web app).
"""

import sqlite3
from collections.abc import Mapping, Sequence

from sql.sqlite import transaction

PostRow = tuple[int, int, str]  # author id, record key, at-uri


def write_communities(
    serving: sqlite3.Connection, feed_rkey: str, found: Mapping[str, Sequence[Sequence[PostRow]]]
) -> int:
    """Replace a feed's communities, by language; return their posts."""
    feed_id = serving.execute("SELECT feed_id FROM feeds WHERE rkey = ?", (feed_rkey,)).fetchone()[0]
    rows = [
        (feed_id, language, number, place, *post)
        for language, communities in found.items()
        for number, community in enumerate(communities, 1)
        for place, post in enumerate(community, 1)
    ]
    with transaction(serving):
        serving.execute("DELETE FROM communities WHERE feed_id = ?", (feed_id,))
        serving.execute("DELETE FROM communities WHERE feed_id NOT IN (SELECT feed_id FROM feeds)")
        serving.executemany("INSERT INTO communities VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return len(rows)
