"""The checks that finished lists must pass before anything becomes visible.

Owns: ``check_entries``, one compiled pass over every entry of every list, ``check_relations``, which runs
every file of ``sql/checks`` and is a hundred times as slow, and the sample of lists that it looks at. Leaves to others:
what each file of ``sql/checks`` asks, which its header says.

``check_entries`` looks through the work of ``arrange`` and shares no code with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

import sql
from pipeline.batch.kernel import Sparse, compiled
from pipeline.batch.list_sources import CO_LIKERS, POPULAR, TRIAL
from pipeline.batch.lists.arrange import Lists, Rules
from pipeline.errors import BatchError

# The SQL takes about a microsecond an entry: with more entries than this, it runs on a sample of the lists.
SAMPLE_ENTRIES = 2_000_000
# What the compiled pass looks for; all but the last are named as the files of sql/checks.
FAULTS = (
    "positions", "entries", "duplicate_posts", "own_posts", "author_cap", "author_spacing", "empty_lists",
    "excluded_posts",
)  # fmt: skip
POSITIONS, ENTRIES, DUPLICATES, OWN_POSTS, AUTHOR_CAP, AUTHOR_SPACING, EMPTY_LISTS, EXCLUDED = range(8)


@contextmanager
def sampled(connection: duckdb.DuckDBPyConnection, entries: int) -> Iterator[None]:
    """Let ``lists``, of so many entries, be whole lists of a random part of the viewers where they are many."""
    every = max(1, entries // SAMPLE_ENTRIES)
    if every > 1:
        sample = f"SELECT * FROM main.lists WHERE hash(viewer_id) % {every} = 0"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE lists AS {sample}")
    try:
        yield
    finally:
        if every > 1:
            connection.execute("DROP TABLE temp.lists")


def check_relations(connection: duckdb.DuckDBPyConnection) -> int:
    """Run every file of ``sql/checks`` over ``lists`` and ``fallbacks``; return how many files.

    Raises BatchError, naming the first check that found rows, and one of them.
    """
    names = sql.names("checks")
    for name in names:
        found = connection.execute(sql.load(name))
        heads = [column[0] for column in found.description or []]
        rows = found.fetchall()
        if rows:
            example = ", ".join(f"{head} {value}" for head, value in zip(heads, rows[0], strict=True))
            raise BatchError(
                f"check {name.removeprefix('checks/')} found {len(rows)} rows, nothing was published; "
                f"for example {example}"
            )
    return len(names)


def check_entries(
    viewers: NDArray[np.int64],
    lists: Lists,
    excluded: Sparse,
    authors: NDArray[np.int32],
    author_ids: NDArray[np.int64],
    rules: Rules,
) -> None:
    """Raise BatchError, naming the fault and a viewer, when a list breaks a rule.

    ``viewers`` are actor numbers, one a list. By post, ``authors`` numbers the authors from 0, and ``author_ids`` are
    their actor numbers. ``excluded`` has a row a viewer: posts they liked, made, or answered with "show less".
    """
    faults, example = np.zeros(len(FAULTS), np.int64), np.full(len(FAULTS), -1, np.int64)
    author_count = int(authors.max(initial=-1)) + 1
    _count_faults(viewers, lists, excluded, authors, author_count, author_ids, rules, faults, example)
    for name, count, viewer in zip(FAULTS, faults.tolist(), example.tolist(), strict=True):
        if count:
            raise BatchError(
                f"check {name} found {count} entries, nothing was published; "
                f"for example in the list of viewer_id {viewer}"
            )


@compiled
def _count_faults(
    viewers: Any, lists: Lists, excluded: Sparse, authors: Any, author_count: int, author_ids: Any, rules: Rules,
    faults: Any, example: Any,
) -> None:  # fmt: skip
    """Add up the entries with each fault, and note the last viewer who has one; both are int64 (len(FAULTS))."""
    posts, scores, co_likers, sources = lists.posts, lists.scores, lists.co_likers, lists.sources
    most, spacing = rules.max_per_author, rules.author_spacing
    in_list = np.zeros(len(authors), np.int32)  # times
    by_author = np.zeros(author_count, np.int32)
    last_place = np.zeros(author_count, np.int64)
    found = np.zeros(len(faults), np.int64)
    for row in range(len(viewers)):
        first, last = lists.starts[row], lists.starts[row + 1]
        found[:] = 0
        found[POSITIONS] = last - first > rules.list_length
        ranked = 0
        for i in range(first, last):
            post, source = posts[i], sources[i]
            author = authors[post]
            ranked += source != POPULAR
            good = np.isfinite(scores[i]) and scores[i] > 0 and CO_LIKERS <= source <= TRIAL
            found[ENTRIES] += not good or (source == POPULAR) != (co_likers[i] == 0)
            found[DUPLICATES] += in_list[post] > 0
            found[OWN_POSTS] += author_ids[post] == viewers[row]
            found[AUTHOR_CAP] += by_author[author] >= most[row]
            found[AUTHOR_SPACING] += by_author[author] > 0 and i - last_place[author] <= spacing[row]
            in_list[post] += 1
            by_author[author] += 1
            last_place[author] = i
        found[EMPTY_LISTS] = last > first and ranked == 0
        for x in range(excluded.starts[row], excluded.starts[row + 1]):
            found[EXCLUDED] += in_list[excluded.columns[x]] > 0
        for i in range(first, last):
            in_list[posts[i]] = 0
            by_author[authors[posts[i]]] = 0
        for fault in range(len(found)):
            if found[fault] > 0:
                faults[fault] += found[fault]
                example[fault] = viewers[row]
