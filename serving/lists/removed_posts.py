"""Which posts of published lists pages leave out: those deleted since, and those of authors who are hidden since.

Owns: the queries on removals.sqlite about posts. Leaves to others: writing it, which is ingest's. It is looked at for
every page, so what ingest has committed counts for the next one. A store that can't be read removes nothing: lists stay
as the batch made them, and the next run makes them without these posts.
"""

import json
from collections.abc import Collection
from pathlib import Path

import sql
from serving.read_pool import ReadPool, StoreUnreadableError

PostKey = tuple[int, int]  # author id, record key


class RemovedPosts:
    """removals.sqlite, read from any thread."""

    def __init__(self, path: Path) -> None:
        self._pool = ReadPool(path, "removals", busy_seconds=0.2)

    def removed_among(self, posts: Collection[PostKey]) -> set[PostKey]:
        """Return those of some posts that no page may show any more."""
        if not posts:
            return set()
        rkeys, authors = (
            json.dumps([rkey for _, rkey in posts]),
            json.dumps([*{author for author, _ in posts}]),
        )
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return set()
                removed = set(connection.execute(sql.load("removals/removed_among"), {"rkeys": rkeys}))
                hidden = dict(connection.execute(sql.load("removals/hidden_among"), {"authors": authors}))
        except StoreUnreadableError:  # the pool has said so
            return set()
        if hidden:
            removed.update(post for post in posts if post[1] <= hidden.get(post[0], -1))
        return removed
