"""Methods of one's own: functions of (history, moment) in a Python file, beside those that are shipped.

Owns: loading such a file, what its functions get, turning what they return into lists. Leaves to others: filling short
lists (``registry``), choosing parameters (``tuning``), the measures.

A function can't see the future: it gets the likes before the moment and nothing else. What it lists in vain is passed
over, so every method is measured by the same rules: what does not exist or may not be listed, what the viewer has liked
or made, and what stands in the list already.
"""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.evaluate.like_events import NONE, EvaluateError, Ints, LikeEvents
from pipeline.evaluate.matrices import contains
from pipeline.evaluate.methods.registry import METHODS, Method
from pipeline.evaluate.splits import Split

TRIES = "TRIES"


@dataclass(frozen=True, slots=True)
class ListMoment:
    """When lists are wanted, for whom, and what they may have.

    ``time``: UTC, without a zone, as in the history. ``users``: who wants a list. ``items``: item, made (when it was
    made, or first liked where that is unknown) and, from a store, author. ``length``: places of a list that count.
    """

    time: datetime
    users: pl.Series
    items: pl.DataFrame
    length: int


def own_methods(path: Path) -> list[Method]:
    """Return the methods of a file: each function whose first parameters are history and moment.

    The file's TRIES, a dictionary, has the values that tuning may try for further parameters. EvaluateError says
    what is wrong with a file, with its line.
    """
    module = _loaded(path)
    tries: Mapping[str, tuple[Any, ...]] = getattr(module, TRIES, {})
    methods: list[Method] = []
    used: set[str] = set()
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("_") or function.__module__ != module.__name__:
            continue
        first, second, *others = [*inspect.signature(function).parameters.values(), None, None]
        if first is None or second is None or (first.name, second.name) != ("history", "moment"):
            continue
        further = {other.name: other.default for other in others if other is not None}
        for other, default in further.items():
            if default is inspect.Parameter.empty:
                raise EvaluateError(f"{path}: {name}'s parameter {other} needs a default")
        if name in METHODS:
            raise EvaluateError(f"{path}: {name} is the name of a method that is shipped; choose another")
        used |= further.keys()
        grid = {key: tuple(values) for key, values in tries.items() if key in further}
        about = (inspect.getdoc(function) or f"of {path.name}").splitlines()[0]
        methods.append(Method(name, about, _ranker(path, function), further, grid, one_by_one=True))
    if not methods:
        raise EvaluateError(f"{path} has no function whose first parameters are history and moment")
    if tries.keys() - used:
        raise EvaluateError(
            f"{path}: {TRIES} names {', '.join(sorted(tries.keys() - used))}: no function has it"
        )
    return methods


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise EvaluateError(f"no file {path}")
    spec = importlib.util.spec_from_file_location(f"own_methods_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise EvaluateError(f"{path} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses of the file look for their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise EvaluateError(_place(path, error)) from error
    return module


def _place(path: Path, error: Exception) -> str:
    """Say in one line what a file of somebody's own did wrong, and where."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    text = (str(error).strip() or "no message").splitlines()[0]
    return f"{path}{'' if line is None else f', line {line}'}: {type(error).__name__}: {text}"


def _ranker(path: Path, function: Callable[..., Any]) -> Callable[..., NDArray[np.int32]]:
    def rank(split: Split, keep: int, **parameters: Any) -> NDArray[np.int32]:
        users, items = _names(split.events)
        viewers = users[split.viewers]
        moment = ListMoment(
            datetime.fromtimestamp(split.at_us / 1e6, UTC).replace(tzinfo=None),
            viewers,
            _items(split, items),
            keep,
        )
        try:
            found = function(_history(split, users, items), moment, **parameters)
            pairs = _pairs(found, users, items)
        except EvaluateError as error:
            raise EvaluateError(f"{path}: {function.__name__} {error}") from error
        except Exception as error:
            raise EvaluateError(_place(path, error)) from error
        rows = pairs["user"].replace_strict(
            viewers, np.arange(len(viewers)), default=NONE, return_dtype=pl.Int64
        )
        places = pairs["item"].replace_strict(
            items, np.arange(len(items)), default=NONE, return_dtype=pl.Int64
        )
        return _lists(split, keep, rows.to_numpy(), places.to_numpy(), path, function.__name__)

    return rank


def _names(events: LikeEvents) -> tuple[pl.Series, pl.Series]:
    """Return what users and items are called: as in the file, or numbers where a store's keys name no item alone."""
    users = pl.Series(events.user_keys) if events.user_texts is None else events.user_texts
    items = pl.Series(events.item_keys) if events.authors is None else pl.Series(np.arange(events.item_count))
    return users.alias("user"), (items if events.item_texts is None else events.item_texts).alias("item")


def _history(split: Split, users: pl.Series, items: pl.Series) -> pl.DataFrame:
    """Return the likes before the moment, oldest first."""
    events, cut = split.events, split.cut
    times = pl.Series("time", events.times_us[:cut]).cast(pl.Datetime("us"))
    return pl.DataFrame([users[events.users[:cut]], items[events.items[:cut]], times])


def _items(split: Split, items: pl.Series) -> pl.DataFrame:
    events = split.events
    made = pl.Series("made", events.created_us).cast(pl.Datetime("us"))
    columns = [items, made] if events.authors is None else [items, made, pl.Series("author", events.authors)]
    return pl.DataFrame(columns).filter(pl.Series(split.exists))


def _pairs(found: Any, users: pl.Series, items: pl.Series) -> pl.DataFrame:
    """Return (user, item) in the order of the lists, of a dictionary of lists or of a frame."""
    if isinstance(found, Mapping):
        each = [(user, item) for user, listed in found.items() for item in listed]
        found = pl.DataFrame({"user": [user for user, _ in each], "item": [item for _, item in each]})
    if not isinstance(found, pl.DataFrame) or not {"user", "item"} <= set(found.columns):
        raise EvaluateError(
            "must return {user: [item, item, …]} or a Polars frame with user, item and perhaps score, the best first; "
            f"it returned {type(found).__name__}"
        )
    if "score" in found.columns:
        found = found.sort("score", descending=True, nulls_last=True, maintain_order=True)
    if found.is_empty():
        return pl.DataFrame([users.clear(), items.clear()])
    pairs: pl.DataFrame = found.select(pl.col("user").cast(users.dtype), pl.col("item").cast(items.dtype))
    return pairs


def _lists(split: Split, keep: int, rows: Ints, items: Ints, path: Path, name: str) -> NDArray[np.int32]:
    """Return lists (viewers, keep) of pairs in order; what may not be listed is passed over."""
    if len(rows) and not ((rows >= 0) & (items >= 0)).any():
        raise EvaluateError(
            f"{path}: {name} listed {len(rows):,} items, none of them a known item for a wanted user"
        )
    rows, items = _fit(split, rows, items)
    pairs = pl.DataFrame({"row": rows, "item": items}).unique(maintain_order=True)
    pairs = pairs.with_columns(place=pl.int_range(pl.len()).over("row")).filter(pl.col("place") < keep)
    lists = np.full((len(split.viewers), keep), NONE, np.int32)
    lists[pairs["row"].to_numpy(), pairs["place"].to_numpy()] = pairs["item"].to_numpy()
    return lists


def _fit(split: Split, rows: Ints, items: Ints) -> tuple[Ints, Ints]:
    known = (rows >= 0) & (items >= 0)
    rows, items = rows[known], items[known]
    may = split.exists[items] & ~contains(
        split.barred.starts, split.barred.columns, rows, items.astype(np.int32)
    )
    return rows[may], items[may]
