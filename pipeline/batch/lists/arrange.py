"""The rules after ranking: filling up, seen posts last, places between posts of one author.

Owns: ``arrange``. Leaves to others: the order by score and the cap per author within the ranked posts
(``kernel``), and which places try a post that few have seen (``trial_places``).

For each list, in this order:

1. Popular posts fill it up: those of the viewer's language first, then those of all. A post that is excluded, that
   is in the list already, or that is beyond its author's cap is passed over.
2. Seen posts move behind unseen ones.
3. Each place goes to the first remaining post whose author is not in the last ``author_spacing`` places. A trial
   place goes to the post that is drawn for it. The list ends when no post fits.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.batch.kernel import Sparse, Top, compiled
from pipeline.batch.list_sources import CO_LIKERS, POPULAR, TRIAL
from pipeline.batch.lists import trial_places
from pipeline.ranking import Ranking

AHEAD = trial_places.AHEAD
NEVER = -(2**40)  # a place that is far enough from all

_is_place = compiled(trial_places.is_place)
_turn = compiled(trial_places.turn)


class Popular(NamedTuple):
    """The popular posts of each language, best first; row 0 is all languages together."""

    starts: NDArray[np.int64]  # (languages + 1)
    posts: NDArray[np.int32]  # (entries)
    scores: NDArray[np.float32]  # (entries)


class Draw(NamedTuple):
    """What the draw for a trial place depends on."""

    viewers: NDArray[np.int64]  # (lists)
    hour: int  # of the likes that the lists are made of
    rkeys: NDArray[np.int64]  # (posts)
    few: NDArray[np.bool_]  # (posts): whether few enough like it


class Lists(NamedTuple):
    """Lists one after another: list i is starts[i] .. starts[i + 1] of the other arrays."""

    starts: NDArray[np.int64]  # (lists + 1)
    posts: NDArray[np.int32]  # (entries)
    scores: NDArray[np.float32]  # (entries)
    co_likers: NDArray[np.int32]  # (entries)
    sources: NDArray[np.uint8]  # (entries), of ``list_sources``


class Rules(NamedTuple):
    """The parameters of the rules; two of them are each viewer's own."""

    list_length: int
    trial_share: float
    max_per_author: NDArray[np.int32]  # (lists)
    author_spacing: NDArray[np.int32]  # (lists)


class Items(NamedTuple):
    """Posts of one list that wait for a place, or of all lists in their places."""

    posts: NDArray[np.int32]  # (list_length), of all lists (lists, list_length); so are the others
    scores: NDArray[np.float32]
    co_likers: NDArray[np.int32]
    sources: NDArray[np.uint8]


class Scratch(NamedTuple):
    """What one thread works with while it arranges a list."""

    barred: NDArray[np.uint8]  # (posts): excluded, or in the list
    seen: NDArray[np.uint8]  # (posts)
    used: NDArray[np.int32]  # (authors): posts in the list
    last: NDArray[np.int64]  # (authors): the place of the newest one
    order: NDArray[np.int32]  # (list_length): the items that wait for a place, in order
    turns: NDArray[np.float64]  # (list_length): by item when it would be drawn for a trial place


def rules_of(ranking: Ranking, count: int) -> Rules:
    """Return the rules of so many lists that are all made with the same parameters."""
    return Rules(
        ranking.list_length,
        ranking.trial_share,
        np.full(count, ranking.max_per_author, np.int32),
        np.full(count, ranking.author_spacing, np.int32),
    )


def arrange(
    top: Top,
    popular: Popular,
    rows: NDArray[np.int64],
    excluded: Sparse,
    seen: Sparse,
    authors: NDArray[np.int32],
    rules: Rules,
    threads: int = 1,
    draw: Draw | None = None,
) -> Lists:
    """Return the finished lists.

    ``top``, ``excluded`` and ``seen`` have a row a list, and columns that are posts. ``rows`` names each list's row of
    ``popular``, ``authors`` each post's author, numbered from 0. Without ``draw`` no place is a trial place.

    A list without any post from co-likers stays empty: its viewer is served the fallback list.
    """
    count, length = len(top.filled), rules.list_length
    places = _items((count, length))
    filled = np.zeros(count, np.int64)
    author_count = int(authors.max()) + 1 if len(authors) else 0
    if draw is None:
        rules = rules._replace(trial_share=0.0)
        draw = Draw(np.zeros(count, np.int64), 0, np.zeros(0, np.int64), np.zeros(0, np.bool_))

    def work(first: int, last: int) -> None:
        scratch = Scratch(
            np.zeros(len(authors), np.uint8), np.zeros(len(authors), np.uint8), np.zeros(author_count, np.int32),
            np.full(author_count, NEVER, np.int64),
            np.empty(length, np.int32), np.empty(length),
        )  # fmt: skip
        _arrange(
            first, last, top, popular, rows, excluded, seen, authors, rules, draw, scratch, _items(length), places,
            filled,
        )  # fmt: skip

    edges = np.linspace(0, count, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))
    taken = np.arange(length) < filled[:, None]
    starts = np.concatenate(([0], np.cumsum(filled)))
    return Lists(
        starts, places.posts[taken], places.scores[taken], places.co_likers[taken], places.sources[taken]
    )


def popular_lists(popular: Popular, authors: NDArray[np.int32], ranking: Ranking) -> Lists:
    """Return the fallback lists themselves, arranged by the same rules, a list a row of ``popular``."""
    count, length = len(popular.starts) - 1, ranking.list_length
    filled = np.zeros(count, np.int32)
    posts, scores, ones, _ = _items((count, length))
    ones[:] = 1
    for row in range(count):
        by_author: Counter[int] = Counter()
        for x in range(popular.starts[row], popular.starts[row + 1]):
            author = int(authors[popular.posts[x]])
            if filled[row] == length or by_author[author] == ranking.max_per_author:
                continue
            by_author[author] += 1
            posts[row, filled[row]], scores[row, filled[row]] = popular.posts[x], popular.scores[x]
            filled[row] += 1
    none = Sparse(np.zeros(count + 1, np.int64), np.zeros(0, np.int32), np.empty(0))
    nothing = Popular(np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    top = Top(posts, scores, ones, filled)
    lists = arrange(top, nothing, np.zeros(count, np.int64), none, none, authors, rules_of(ranking, count))
    lists.sources[:] = POPULAR
    lists.co_likers[:] = 0
    return lists


def _items(shape: int | tuple[int, int]) -> Items:
    return Items(
        np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    )  # fmt: skip


@compiled
def _arrange(
    first: int, last: int, top: Top, popular: Popular, rows: Any, excluded: Sparse, seen: Sparse, authors: Any,
    rules: Rules, draw: Draw, scratch: Scratch, items: Items, places: Items, filled: Any,
) -> None:  # fmt: skip
    """Arrange the lists from ``first`` up to ``last``; marks by post and by author are clean between two of them."""
    barred, used, newest = scratch.barred, scratch.used, scratch.last
    posts, max_per_author, author_spacing = items.posts, rules.max_per_author, rules.author_spacing
    for viewer in range(first, last):
        _mark(excluded, viewer, barred, 1)
        size = _take_ranked(viewer, top, authors, items, barred, used)
        if size > 0:
            most, length = max_per_author[viewer], rules.list_length
            size = _fill_up(rows[viewer], size, popular, authors, length, most, items, barred, used)
            if rows[viewer] != 0:
                size = _fill_up(0, size, popular, authors, length, most, items, barred, used)
        _mark(seen, viewer, scratch.seen, 1)
        _put_seen_last(size, posts, scratch.seen, scratch.order)
        if rules.trial_share > 0:
            _write_turns(viewer, size, draw, scratch.seen, items, scratch.turns)
        spacing, share = author_spacing[viewer], rules.trial_share
        filled[viewer] = _place(viewer, size, authors, spacing, share, scratch, items, places)
        _mark(excluded, viewer, barred, 0)
        _mark(seen, viewer, scratch.seen, 0)
        for i in range(size):
            post = posts[i]
            barred[post] = 0
            used[authors[post]] = 0
            newest[authors[post]] = NEVER


@compiled
def _mark(matrix: Sparse, row: int, marks: Any, value: int) -> None:
    """Mark the columns of a matrix's row."""
    columns = matrix.columns
    for x in range(matrix.starts[row], matrix.starts[row + 1]):
        marks[columns[x]] = value


@compiled
def _take_ranked(viewer: int, top: Top, authors: Any, items: Items, barred: Any, used: Any) -> int:
    """Take a viewer's ranked posts; return how many: none when the crowd alone brought them."""
    ranked, ranked_scores, counts = top.columns, top.scores, top.counts
    posts, scores, co_likers, sources = items
    size: int = top.filled[viewer]
    if size > 0 and counts[viewer, :size].max() == 0:
        return 0
    for x in range(size):
        post, count = ranked[viewer, x], counts[viewer, x]
        posts[x], scores[x], co_likers[x] = post, ranked_scores[viewer, x], count
        sources[x] = CO_LIKERS if count > 0 else POPULAR
        barred[post] = 1
        used[authors[post]] += 1
    return size


@compiled
def _fill_up(
    row: int, size: int, popular: Popular, authors: Any, length: int, most: int, items: Items, barred: Any, used: Any
) -> int:  # fmt: skip
    """Add popular posts of one language to a list of ``size`` posts, ``most`` an author; return its size then."""
    starts, popular_posts, popular_scores = popular
    posts, scores, co_likers, sources = items
    for x in range(starts[row], starts[row + 1]):
        if size == length:
            break
        post = popular_posts[x]
        if barred[post] != 0 or used[authors[post]] >= most:
            continue
        posts[size], scores[size], co_likers[size], sources[size] = post, popular_scores[x], 0, POPULAR
        barred[post] = 1
        used[authors[post]] += 1
        size += 1
    return size


@compiled
def _put_seen_last(size: int, posts: Any, seen: Any, order: Any) -> None:
    """Write the order of a list's items: unseen posts first, otherwise as they are."""
    written = 0
    for wanted in range(2):
        for i in range(size):
            if seen[posts[i]] == wanted:
                order[written] = i
                written += 1


@compiled
def _place(
    viewer: int, size: int, authors: Any, spacing: int, trial_share: float, scratch: Scratch, items: Items,
    places: Items,
) -> int:  # fmt: skip
    """Give places to a list's items; return how many, 0 when no item from co-likers got one.

    A seen post may find no place behind popular posts of its author.
    """
    last, order, turns = scratch.last, scratch.order, scratch.turns
    posts, scores, co_likers, sources = items
    placed_posts, placed_scores, placed_co_likers, placed_sources = places
    place, left = 0, size
    ranked = False
    while left > 0:
        found = -1
        if trial_share > 0 and _is_place(place, trial_share):
            found = _drawn(place, left, order, turns, posts, authors, last, spacing)
        tried = found >= 0
        for i in range(0 if tried else left):
            if place - last[authors[posts[order[i]]]] > spacing:
                found = i
                break
        if found < 0:
            break
        item = order[found]
        source = TRIAL if tried else sources[item]
        placed_posts[viewer, place], placed_scores[viewer, place] = posts[item], scores[item]
        placed_co_likers[viewer, place], placed_sources[viewer, place] = co_likers[item], source
        ranked = ranked or source != POPULAR
        last[authors[posts[item]]] = place
        place += 1
        left -= 1
        for i in range(found, left):
            order[i] = order[i + 1]
    return place if ranked else 0


@compiled
def _write_turns(viewer: int, size: int, draw: Draw, seen: Any, items: Items, turns: Any) -> None:
    """Write when each item would be drawn for a trial place: never, unless it is unseen and few like it."""
    few, rkeys = draw.few, draw.rkeys
    posts, scores, _, sources = items
    viewer_id = draw.viewers[viewer]
    for i in range(size):
        post = posts[i]
        may_be_tried = sources[i] == CO_LIKERS and few[post] and seen[post] == 0
        turns[i] = _turn(viewer_id, draw.hour, rkeys[post], scores[i]) if may_be_tried else np.inf


@compiled
def _drawn(
    place: int, left: int, order: Any, turns: Any, posts: Any, authors: Any, last: Any, spacing: int
) -> int:
    """Return where in ``order`` the item stands that is drawn for a trial place, -1 when none may be tried."""
    best, found = np.inf, -1
    for i in range(left):
        item = order[i]
        if item < place + AHEAD or place - last[authors[posts[item]]] <= spacing:
            continue
        if turns[item] < best:
            best, found = turns[item], i
    return found
