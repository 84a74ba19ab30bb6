"""Which posts of published lists pages leave out: those deleted or withheld since, and those of authors who are.

Owns: the queries on removals.sqlite about posts, and what the levels of withholding mean for a page. Leaves to others:
writing it, which is ingest's, and for the operator's rules that of ``foryou block``. It is looked at for every page, so
what was committed counts for the next one. A store that can't be read removes nothing: lists stay as the batch made
them, and the next run makes them without these posts.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import sql
from serving.read_pool import ReadPool, StoreUnreadableError

PostKey = tuple[int, int]  # author id, record key

# From whom a post is withheld, as sql/removals has it: each level says the same of all that the level below does.
NOBODY = 0
ANONYMOUS = 1  # everybody who gets the lists that are for anybody
POPULAR = 2  # and viewers, where their own list has it because it is popular
EVERYBODY = 3

_QUERIES = (
    "removed_among",
    "hidden_among",
    "withheld_posts_among",
    "withheld_authors_among",
    "ruled_posts_among",
    "ruled_authors_among",
)


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
                deleted, hidden, of_posts, of_authors, post_rules, author_rules = (
                    connection.execute(sql.load(f"removals/{query}"), keys).fetchall() for query in _QUERIES
                )
        except StoreUnreadableError:  # the pool has said so
            return {}
        found: dict[PostKey, int] = {}
        if of_posts or of_authors or post_rules or author_rules:
            found = _by_wish(posts, of_posts, of_authors, post_rules, author_rules)
        found.update(((author, rkey), EVERYBODY) for author, rkey in deleted)
        if hidden:
            until: dict[int, int] = dict(hidden)
            found.update((post, EVERYBODY) for post in posts if post[1] <= until.get(post[0], -1))
        return found


def _by_wish(
    posts: Collection[PostKey],
    of_posts: Sequence[tuple[int, int, int, int]],
    of_authors: Sequence[tuple[int, int, int]],
    post_rules: Sequence[tuple[int, int, int]],
    author_rules: Sequence[tuple[int, int]],
) -> dict[PostKey, int]:
    """Return what somebody wishes to be withheld of some posts, and from whom.

    The operator's rule about a post counts before the one about its author, and either before what labelers say.
    """
    no_wish = (NOBODY, NOBODY)
    posts_levels = {(author, rkey): levels for author, rkey, *levels in of_posts}
    authors_levels = {author: levels for author, *levels in of_authors}
    rules_of_posts = {(author, rkey): blocked for author, rkey, blocked in post_rules}
    rules_of_authors: dict[int, int] = dict(author_rules)
    found = {}
    for post in posts:
        blocked = rules_of_posts.get(post, rules_of_authors.get(post[0]))
        allowed = blocked == 0
        levels = posts_levels.get(post, no_wish), authors_levels.get(post[0], no_wish)
        level = EVERYBODY if blocked else max(of_one[allowed] for of_one in levels)
        if level:
            found[post] = level
    return found
