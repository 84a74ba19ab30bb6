"""The checks of ``sql/checks`` on every entry of every list, in one pass over a block of finished lists.

Owns: ``checks_compiled``. Leaves to others: the same checks as SQL (``checks``), which take a hundred times
as long and are run on all lists of a small installation and on a sample of a large one.

It shares no code with ``arrange``, whose work it looks through.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, compiled
from pipeline.batch.list_sources import POPULAR, TRIAL
from pipeline.batch.lists.arrange import Lists
from pipeline.errors import BatchError
from pipeline.ranking import Ranking

# In the order of the numbers that the loop gives them; all but the last as the files of sql/checks.
FAULTS = (
    "positions",
    "entries",
    "duplicate_posts",
    "own_posts",
    "author_cap",
    "author_spacing",
    "empty_lists",
    "excluded_posts",
)


def audit(
    viewers: NDArray[np.int64],
    lists: Lists,
    excluded: Sparse,
    authors: NDArray[np.int32],
    author_ids: NDArray[np.int64],
    ranking: Ranking,
) -> None:
    """Raise BatchError, naming the fault and a viewer, when a list breaks a rule.

    By post number: ``authors`` numbers them from 0, ``author_ids`` are theirs as actors. ``excluded`` has a row a
    viewer: posts liked, made, or answered with "show less" by them.
    """
    faults, example = np.zeros(len(FAULTS), np.int64), np.full(len(FAULTS), -1, np.int64)
    _audit(
        viewers, lists.starts, lists.posts, lists.scores, lists.co_likers, lists.sources,
        excluded.starts, excluded.columns, authors, int(authors.max(initial=-1)) + 1, author_ids,
        ranking.list_length, ranking.max_per_author, ranking.author_spacing, faults, example,
    )  # fmt: skip
    for name, count, viewer in zip(FAULTS, faults.tolist(), example.tolist(), strict=True):
        if count:
            raise BatchError(
                f"check {name} found {count} entries, nothing was published; "
                f"for example in the list of viewer_id {viewer}"
            )


@compiled
def _audit(
    viewers: Any, starts: Any, posts: Any, scores: Any, co_likers: Any, sources: Any,
    x_starts: Any, x_posts: Any, authors: Any, author_count: int, author_ids: Any,
    length: int, per_author: int, spacing: int, faults: Any, example: Any,
) -> None:  # fmt: skip
    in_list = np.zeros(len(authors), np.int32)  # times
    by_author = np.zeros(author_count, np.int32)
    last_place = np.zeros(author_count, np.int64)
    found = np.zeros(len(faults), np.int64)
    for row in range(len(viewers)):
        first, last = starts[row], starts[row + 1]
        found[:] = 0
        if last - first > length:
            found[0] += 1
        taste = 0
        for i in range(first, last):
            post, source = posts[i], sources[i]
            author = authors[post]
            taste += source != POPULAR
            good = np.isfinite(scores[i]) and scores[i] > 0 and 1 <= source <= TRIAL
            found[1] += not good or (source == POPULAR) != (co_likers[i] == 0)
            found[2] += in_list[post] > 0
            found[3] += author_ids[post] == viewers[row]
            found[4] += by_author[author] >= per_author
            found[5] += by_author[author] > 0 and i - last_place[author] <= spacing
            in_list[post] += 1
            by_author[author] += 1
            last_place[author] = i
        if last > first and taste == 0:
            found[6] += 1
        for x in range(x_starts[row], x_starts[row + 1]):
            found[7] += in_list[x_posts[x]] > 0
        for i in range(first, last):
            in_list[posts[i]] = 0
            by_author[authors[posts[i]]] = 0
        for number in range(len(found)):
            if found[number] > 0:
                faults[number] += found[number]
                example[number] = viewers[row]
