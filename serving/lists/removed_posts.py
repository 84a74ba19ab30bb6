"""Which posts of published lists pages leave out: those deleted or withheld since, and those of authors who are.

Owns: the queries on removals.sqlite about posts, and what the levels of withholding mean for a page. Leaves to others:
writing it, which is ingest's. It is looked at for every page, so what ingest has committed counts for the next one. A
store that can't be read removes nothing: lists stay as the batch made them, and the next run makes them without these
posts.
"""

import json
from collections.abc import Collection
from pathlib import Path

import sql
from serving.read_pool import ReadPool, StoreUnreadableError

PostKey = tuple[int, int]  # author id, record key

# From whom a post is withheld, as sql/removals has it: each level says the same of all that the level below does.
ANONYMOUS = 1  # everybody who gets the lists that are for anybody
POPULAR = 2  # and viewers, where their own list has it because it is popular
EVERYBODY = 3

_QUERIES = ("removed_among", "hidden_among", "withheld_posts_among", "withheld_authors_among")


class RemovedPosts:
    """removals.sqlite, read from any thread."""

    def __init__(self, path: Path) -> None:
        self._pool = ReadPool(path, "removals", busy_seconds=0.2)

    def withheld_among(self, posts: Collection[PostKey]) -> dict[PostKey, int]:
        """Return those of some posts that pages leave out, and for whom."""
        if not posts:
            return {}
        keys = {
            "rkeys": json.dumps([rkey for _, rkey in posts]),
            "authors": json.dumps([*{author for author, _ in posts}]),
        }
        try:
            with self._pool.snapshot() as connection:
                if connection is None:
                    return {}

                deleted, hidden, of_posts, of_authors = (
                    connection.execute(sql.load(f"removals/{query}"), keys).fetchall() for query in _QUERIES
                )
        except StoreUnreadableError:  # the pool has said so
            return {}
        until: dict[int, int] = dict(hidden)
        levels: dict[int, int] = dict(of_authors)
        found: dict[PostKey, int] = {(author, rkey): level for author, rkey, level in of_posts}
        for post in posts if levels else ():
            if post[0] in levels:
                found[post] = max(found.get(post, 0), levels[post[0]])
        found.update(((author, rkey), EVERYBODY) for author, rkey in deleted)
        if until:
            found.update((post, EVERYBODY) for post in posts if post[1] <= until.get(post[0], -1))
        return found
