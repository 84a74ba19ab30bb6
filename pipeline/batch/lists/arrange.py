"""The rules after ranking: filling up, seen posts last, places between posts of one author.

Owns: ``arrange``. Leaves to others: the order by score and the cap per author within the ranked posts, and
which places try a post that few have seen (``trial_places``).

In this order, for each list: popular posts fill it up (the viewer's language first, then all; none excluded,
none twice, none beyond the author's cap); seen posts move behind unseen ones; then each place goes to the
first remaining post whose author is not in the last ``spacing`` places, or one that tries a post to the one
drawn for it. The list ends when none fits.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, Top, compiled
from pipeline.batch.list_sources import CO_LIKERS, POPULAR, TRIAL
from pipeline.batch.lists import trial_places
from pipeline.ranking import Ranking

AHEAD = trial_places.AHEAD

_is_place = compiled(trial_places.is_place)
_turn = compiled(trial_places.turn)


@dataclass(frozen=True, slots=True)
class Popular:
    """The fallback posts of each language, best first; row 0 is all languages."""

    languages: list[str]
    starts: NDArray[np.int64]
    posts: NDArray[np.int32]
    scores: NDArray[np.float32]

    def row(self, language: str) -> int:
        """Return the row of a language, that of all languages when it has none of its own."""
        return self.languages.index(language) if language in self.languages else 0


@dataclass(frozen=True, slots=True)
class Draw:
    """What a draw among posts few have seen depends on: the viewers, the hour, and by post its key and its likers."""

    viewers: NDArray[np.int64]
    hour: int
    rkeys: NDArray[np.int64]
    likers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists one after another: list i is starts[i] .. starts[i + 1] of the other arrays."""

    starts: NDArray[np.int64]
    posts: NDArray[np.int32]
    scores: NDArray[np.float32]
    co_likers: NDArray[np.int32]
    sources: NDArray[np.uint8]


def arrange(
    top: Top,
    popular: Popular,
    rows: NDArray[np.int64],
    excluded: Sparse,
    seen: Sparse,
    authors: NDArray[np.int32],
    ranking: Ranking,
    threads: int = 1,
    draw: Draw | None = None,
) -> Lists:
    """Return the finished lists; ``rows`` names each list's row of ``popular``. Without ``draw`` no place is tried.

    A list in which not a single post from co-likers has a place stays empty: its viewer is served the fallback list.
    """
    count, length = len(top.filled), ranking.list_length
    posts = np.zeros((count, length), np.int32)
    scores = np.zeros((count, length), np.float32)
    co_likers = np.zeros((count, length), np.int32)
    sources = np.zeros((count, length), np.uint8)
    filled = np.zeros(count, np.int64)
    author_count = int(authors.max()) + 1 if len(authors) else 0
    share = ranking.trial_share
    if draw is None:
        share, draw = 0.0, Draw(np.zeros(count, np.int64), 0, np.zeros(0, np.int64), np.zeros(0, np.int64))
    few = draw.likers <= ranking.trial_max_likers

    def work(first: int, last: int) -> None:
        _arrange(
            first, last, top.columns, top.scores, top.counts, top.filled,
            popular.starts, popular.posts, popular.scores, rows,
            excluded.starts, excluded.columns, seen.starts, seen.columns,
            authors, author_count, length, ranking.max_per_author, ranking.author_spacing,
            share, draw.viewers, draw.hour, draw.rkeys, few,
            posts, scores, co_likers, sources, filled,
        )  # fmt: skip

    edges = np.linspace(0, count, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))
    taken = np.arange(length) < filled[:, None]
    starts = np.concatenate(([0], np.cumsum(filled)))
    return Lists(starts, posts[taken], scores[taken], co_likers[taken], sources[taken])


def popular_lists(popular: Popular, authors: NDArray[np.int32], ranking: Ranking) -> Lists:
    """Return the fallback lists themselves, arranged by the same rules."""
    count, length = len(popular.languages), ranking.list_length
    top = Top(
        np.zeros((count, length), np.int32),
        np.zeros((count, length), np.float32),
        np.ones((count, length), np.int32),
        np.minimum(np.diff(popular.starts), length).astype(np.int32),
    )
    for row in range(count):
        first, size = popular.starts[row], top.filled[row]
        top.columns[row, :size] = popular.posts[first : first + size]
        top.scores[row, :size] = popular.scores[first : first + size]
    none = Sparse(np.zeros(count + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
    nothing = Popular([""], np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    lists = arrange(top, nothing, np.zeros(count, np.int64), none, none, authors, ranking)
    lists.sources[:] = POPULAR
    lists.co_likers[:] = 0
    return lists


@compiled
def _arrange(
    first_list: int, last_list: int, top_posts: Any, top_scores: Any, top_counts: Any, top_filled: Any,
    popular_starts: Any, popular_posts: Any, popular_scores: Any, rows: Any,
    x_starts: Any, x_posts: Any, seen_starts: Any, seen_posts: Any,
    authors: Any, author_count: int, length: int, per_author: int, spacing: int,
    share: float, viewers: Any, hour: int, rkeys: Any, few: Any,
    posts: Any, scores: Any, co_likers: Any, sources: Any, filled: Any,
) -> None:  # fmt: skip
    barred = np.zeros(len(authors), np.uint8)  # excluded, or in the list
    seen = np.zeros(len(authors), np.uint8)
    used = np.zeros(author_count, np.int32)
    last = np.full(author_count, -1 - spacing, np.int64)  # where an author was placed last
    item_post = np.empty(length, np.int32)
    item_score = np.empty(length, np.float32)
    item_count = np.empty(length, np.int32)
    item_source = np.empty(length, np.uint8)
    order = np.empty(length, np.int32)
    for viewer in range(first_list, last_list):
        size = 0
        for x in range(x_starts[viewer], x_starts[viewer + 1]):
            barred[x_posts[x]] = 1
        ranked = top_filled[viewer]
        if ranked > 0 and top_counts[viewer, :ranked].max() == 0:
            ranked = 0  # the crowd's alone
        for x in range(ranked):
            post = top_posts[viewer, x]
            item_post[size], item_score[size] = post, top_scores[viewer, x]
            item_count[size] = top_counts[viewer, x]
            item_source[size] = CO_LIKERS if top_counts[viewer, x] > 0 else POPULAR  # the crowd's alone
            barred[post] = 1
            used[authors[post]] += 1
            size += 1
        if size > 0:
            for turn in range(2):
                if turn == 1 and rows[viewer] == 0:
                    break
                row = rows[viewer] if turn == 0 else 0
                for x in range(popular_starts[row], popular_starts[row + 1]):
                    if size == length:
                        break
                    post = popular_posts[x]
                    if barred[post] != 0 or used[authors[post]] >= per_author:
                        continue
                    item_post[size], item_score[size] = post, popular_scores[x]
                    item_count[size], item_source[size] = 0, POPULAR
                    barred[post] = 1
                    used[authors[post]] += 1
                    size += 1
        for x in range(seen_starts[viewer], seen_starts[viewer + 1]):
            seen[seen_posts[x]] = 1
        left = 0
        for wanted in range(2):
            for i in range(size):
                if seen[item_post[i]] == wanted:
                    order[left] = i
                    left += 1
        place = 0
        while left > 0:
            found = -1
            tried = share > 0 and _is_place(place, share)
            if tried:
                best = np.inf
                for i in range(left):
                    item = order[i]
                    post = item_post[item]
                    if (
                        item_source[item] != CO_LIKERS
                        or not few[post]
                        or seen[post] != 0
                        or item < place + AHEAD
                    ):
                        continue
                    if place - last[authors[post]] <= spacing:
                        continue
                    when = _turn(viewers[viewer], hour, rkeys[post], item_score[item])
                    if when < best:
                        best, found = when, i
                tried = found >= 0
            for i in range(0 if tried else left):
                if place - last[authors[item_post[order[i]]]] > spacing:
                    found = i
                    break
            if found < 0:
                break
            item = order[found]
            posts[viewer, place], scores[viewer, place] = item_post[item], item_score[item]
            co_likers[viewer, place] = item_count[item]
            sources[viewer, place] = TRIAL if tried else item_source[item]
            last[authors[item_post[item]]] = place
            place += 1
            left -= 1
            for i in range(found, left):
                order[i] = order[i + 1]
        ranked = False  # one that was seen may find no place behind popular posts of its author
        for i in range(place):
            ranked = ranked or sources[viewer, i] != POPULAR
        filled[viewer] = place if ranked else 0
        for x in range(x_starts[viewer], x_starts[viewer + 1]):
            barred[x_posts[x]] = 0
        for x in range(seen_starts[viewer], seen_starts[viewer + 1]):
            seen[seen_posts[x]] = 0
        for i in range(size):
            post = item_post[i]
            barred[post] = 0
            used[authors[post]] = 0
            last[authors[post]] = -1 - spacing
