"""The likes that an evaluation works on, as arrays sorted by time.

Owns: ``LikeEvents``. Leaves to others: reading them from a file (``event_files``) or the store (``from_store``),
cutting them at a moment (``splits``).

Invariants: users and items are numbered 0, 1, 2 …, users in the order of their keys and items newest first. So the
smaller number wins a tie, as in the batch. There is one like per (user, item): the earliest.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.errors import PipelineError

Ints = NDArray[np.int64]
Small = NDArray[np.int32]

NONE = -1  # a place without an item


class EvaluateError(PipelineError):
    """An evaluation cannot run; the message is one line for the person who started it."""


class Requested(NamedTuple):
    """The languages that each user's app names when it asks for a feed (Accept-Language).

    ``first``: by user, the column in ``LikeEvents.speaks`` of the first one, NONE without any. ``languages``: (users,
    languages by name), all of them.
    """

    first: Ints
    languages: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LikeEvents:
    """Likes sorted by time; ``users``, ``items`` and ``times_us`` have one entry per like.

    ``user_keys``, ``item_keys``: what the numbers stand for (actor ids and record keys, or the file's own); the numbers
    themselves where a file has texts, which are ``user_texts`` and ``item_texts`` then.
    ``created_us``: when each item was made, or first liked where that is unknown. ``allowed``: items that may be
    recommended. ``authors``: each item's author as a number, None where unknown. ``owners``: the user who made each
    item, NONE for authors who like nothing. ``speaks``: (items, languages by name), None where unknown.
    ``requested``: the languages of users' apps, None where unknown.
    ``reported_us``: when a stream or an archive reported each like (``sql/evaluate/claimed.sql``), None when that is
    always the like's time. ``later_us``: when the likes begin that only the report may see, None where tuning and
    report share the time. ``cache``: what rankings keep of the past for the next moment.
    """

    name: str
    users: Small
    items: Small
    times_us: Ints
    user_keys: Ints
    item_keys: Ints
    created_us: Ints
    allowed: NDArray[np.bool_]
    authors: Small | None = None
    speaks: NDArray[np.bool_] | None = None
    requested: Requested | None = None
    owners: Small | None = None
    reported_us: Ints | None = None
    user_texts: pl.Series | None = None
    item_texts: pl.Series | None = None
    later_us: int | None = None
    cache: dict[Any, Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def user_count(self) -> int:
        """The number of users."""
        return len(self.user_keys)

    @property
    def item_count(self) -> int:
        """The number of items."""
        return len(self.item_keys)


def numbered(name: str, likes: pl.DataFrame) -> LikeEvents:
    """Return the events of likes (user, item, time_us) in any order; an item is made when it is first liked.

    Users and items are whole numbers or texts.
    """
    likes = likes.cast({"time_us": pl.Int64}).group_by("user", "item").agg(pl.col("time_us").min())
    users = likes["user"].unique().sort()
    items = likes.group_by(key="item").agg(made_us=pl.col("time_us").min())
    items = items.sort("made_us", "key", descending=[True, False])
    likes = likes.join(items.select(item="key").with_row_index("item_no"), on="item")
    likes = likes.with_columns(user_no=pl.col("user").rank("dense") - 1).sort("time_us", "user_no", "item_no")
    return events_of(name, users, items, likes)


def events_of(
    name: str, users: pl.Series, items: pl.DataFrame, likes: pl.DataFrame, requested: pl.Series | None = None
) -> LikeEvents:
    """Return the events of frames that are numbered already; row n of ``users`` and ``items`` is number n.

    ``users``: keys, ascending. ``items``: key, made_us and, where known, author (a user key), listable, and langs, a
    text of codes with commas between them. ``likes``: user_no, item_no, time_us and, from a store, reported_us, sorted
    by time, then by the numbers; its columns leave the frame one by one, so that memory never holds all of them twice.
    ``requested``: a text of codes for each user, as the app names them.
    """
    user_texts, item_texts = (keys if keys.dtype == pl.String else None for keys in (users, items["key"]))
    numbers: dict[str, Any] = {
        "users": likes.drop_in_place("user_no").cast(pl.Int32).to_numpy(),
        "items": likes.drop_in_place("item_no").cast(pl.Int32).to_numpy(),
        "times_us": likes.drop_in_place("time_us").to_numpy(),
        "user_keys": _numbers(users),
        "item_keys": _numbers(items["key"]),
        "created_us": items["made_us"].to_numpy(),
    }
    reported_us = likes.drop_in_place("reported_us").to_numpy() if "reported_us" in likes.columns else None
    if reported_us is not None and np.array_equal(reported_us, numbers["times_us"]):
        reported_us = None
    if "author" not in items.columns:
        return LikeEvents(
            name,
            **numbers,
            allowed=np.ones(len(items), np.bool_),
            user_texts=user_texts,
            item_texts=item_texts,
        )
    codes = _codes(items["langs"] if requested is None else pl.concat([items["langs"], requested]))
    authors = items["author"]
    owners = authors.replace_strict(users, np.arange(len(users)), default=NONE, return_dtype=pl.Int32)
    return LikeEvents(
        name,
        **numbers,
        allowed=items["listable"].to_numpy(),
        authors=(authors.rank("dense") - 1).cast(pl.Int32).to_numpy(),
        speaks=_speaks(items["langs"], codes),
        requested=None
        if requested is None
        else Requested(_first(requested, codes), _speaks(requested, codes)),
        owners=owners.to_numpy(),
        reported_us=reported_us,
    )


def _numbers(keys: pl.Series) -> Ints:
    """Return keys as numbers; texts as their places."""
    return np.arange(len(keys)) if keys.dtype == pl.String else keys.cast(pl.Int64).to_numpy()


def _codes(langs: pl.Series) -> list[str]:
    """Return all codes of texts, by name."""
    return [code for code in langs.unique().str.split(",").explode().unique().sort() if code]


def _speaks(langs: pl.Series, codes: list[str]) -> NDArray[np.bool_]:
    """Return (texts, codes), which text has which; each distinct text is split once, however often it comes."""
    texts = langs.unique().sort()
    spoken = texts.str.split(",")
    table = np.array([spoken.list.contains(code) for code in codes], np.bool_).reshape(len(codes), len(texts))
    result: NDArray[np.bool_] = table.T[langs.cast(pl.Enum(texts)).to_physical().to_numpy()]
    return result


def _first(langs: pl.Series, codes: list[str]) -> Ints:
    """Return the place of each text's first code, NONE of an empty text."""
    first = langs.str.split(",").list.first()
    places = first.replace_strict(codes, np.arange(len(codes)), default=NONE, return_dtype=pl.Int64)
    return places.to_numpy()
