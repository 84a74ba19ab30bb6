"""Communities: handfuls of popular posts that the same people like, for readers who pick where to begin.

Owns: finding them. Leaves to others: what is popular in a language (``sql/batch/popular.sql``), storing them
(``publish.write_communities``), showing them (``serving.pages.start``), and what a pick weighs
(``sql/batch/answer_weights.sql``).

Two posts are as close as the cosine of their likers. A handful is a post with the posts next to it, by different
authors. The handfuls of a language are chosen one by one, the next always the one whose posts are closest together and
bring most likers whom no earlier handful has. So they differ, and together they cover most of who is there.
"""

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.store.duck import columns

COMMUNITIES = 20  # in a language
HANDFUL = 4  # posts of each
LEAST_POSTS = 2  # one post says nothing of who likes what else
LIKERS = 8_000  # of a language's posts that are looked at: a sample by number, the same of every post

Community = tuple[int, ...]


def communities(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Community]]:
    """Return the communities of each language, as post_no of ``candidate_posts``, the largest first.

    Reads ``public_popular``, ``candidate_posts`` and ``fresh_likes``; "" stands for all languages.
    """
    language, posts, authors = columns(
        connection,
        "SELECT p.language, p.post_no, c.author_id FROM public_popular AS p "
        "JOIN candidate_posts AS c ON c.post_no = p.post_no ORDER BY p.language, p.position",
    )
    found = {}
    for name in np.unique(language.astype(str)):
        mine = language.astype(str) == name
        likes = columns(
            connection,
            "SELECT f.post_no, f.liker_id FROM fresh_likes AS f SEMI JOIN public_popular AS p "
            "ON p.post_no = f.post_no AND p.language = ? ORDER BY ALL",
            str(name),
        )
        chosen = handfuls(np.asarray(posts[mine], np.int64), np.asarray(authors[mine], np.int64), *likes)
        if chosen:
            found[str(name)] = chosen
    return found


def handfuls(
    posts: NDArray[np.int64], authors: NDArray[np.int64], liked: NDArray[np.int64], likers: NDArray[np.int64]
) -> list[Community]:
    """Return communities of some posts; ``liked`` and ``likers`` are the two sides of the likes of them."""
    matrix = _incidence(posts, np.asarray(liked, np.int64), np.asarray(likers, np.int64))
    sizes = matrix.sum(axis=1)
    close = matrix @ matrix.T / np.sqrt(np.maximum(np.outer(sizes, sizes), 1))
    np.fill_diagonal(close, 1.0)
    order = np.argsort(-close, axis=1, kind="stable")
    free, covered = sizes > 0, np.zeros(matrix.shape[1], np.float32)
    found: list[Community] = []
    while len(found) < COMMUNITIES:
        fresh = matrix @ (1 - covered)  # likers of each post whom no community has yet
        best: tuple[float, list[int]] = (0.0, [])
        for centre in np.flatnonzero(free & (fresh > 0)):
            members = _next_to(int(centre), order[centre], close[centre], free, authors)
            gain = float((close[centre][members] * fresh[members])[1:].sum())
            if len(members) >= LEAST_POSTS and gain > best[0]:
                best = gain, members
        members = best[1]
        if not members:
            break
        found.append(tuple(int(posts[member]) for member in members))
        free[members] = False
        covered = np.maximum(covered, matrix[members].max(axis=0))
    return found


def _incidence(
    posts: NDArray[np.int64], liked: NDArray[np.int64], likers: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return who of a sample of likers likes which post; those who like one of them alone connect nothing."""
    people, rows, counts = np.unique(likers, return_inverse=True, return_counts=True)
    step = max(1, -(-int((counts > 1).sum()) // LIKERS))
    kept = np.flatnonzero(counts > 1)[::step]
    column = np.full(len(people), -1, np.int64)
    column[kept] = np.arange(len(kept))
    order = np.argsort(posts)
    places = order[np.searchsorted(posts[order], liked)] if len(posts) else liked
    matrix = np.zeros((len(posts), len(kept)), np.float32)
    known = column[rows] >= 0
    matrix[places[known], column[rows][known]] = 1.0
    return matrix


def _next_to(
    centre: int,
    order: NDArray[np.int64],
    close: NDArray[np.float32],
    free: NDArray[np.bool_],
    authors: NDArray[np.int64],
) -> list[int]:
    """Return a post and the closest free ones by other authors."""
    members, taken = [centre], {int(authors[centre])}
    for other in order:
        if len(members) == HANDFUL or close[other] <= 0:
            break
        if other != centre and free[other] and int(authors[other]) not in taken:
            members.append(int(other))
            taken.add(int(authors[other]))
    return members


def named_posts(
    connection: duckdb.DuckDBPyConnection, found: dict[str, list[Community]]
) -> dict[str, list[list[tuple[int, int, str]]]]:
    """Return communities with each post as (author_id, rkey, at-uri)."""
    wanted = sorted({post for some in found.values() for community in some for post in community})
    rows = connection.execute(
        "SELECT p.post_no, p.author_id, p.rkey, post_uri(a.did, p.rkey) FROM candidate_posts AS p "
        "JOIN actors AS a ON a.actor_id = p.author_id WHERE list_contains(?::INTEGER[], p.post_no)",
        [wanted],
    ).fetchall()
    keys = {post_no: (author_id, rkey, uri) for post_no, author_id, rkey, uri in rows}
    return {name: [[keys[post] for post in community] for community in some] for name, some in found.items()}
