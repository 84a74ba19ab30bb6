"""Decoded rows on disk that are not in the lake yet, so that a run can resume after any end.

Owns: which day a row belongs to, and the files of one archive's host. Leaves to others: decoding (``segments``),
writing a day of the lake (``day_into_lake``).

    done/SEGMENT.json        the segment is decoded: its other files are complete; what was counted
    rows/YYYY-MM-DD/SEGMENT  likes witnessed on that day, and unlikes whose rkeys tell no day
    dated/SEGMENT            likes of days before they were witnessed, and unlikes, by the day in their rkey
    void/SEGMENT             actors whose earlier rows are void
    download/, out/          files being fetched and written

Invariant: a segment is decoded exactly when its file in done/ exists. That file is renamed there after all the others
are on the disk, and decoding again writes the same files.

A like belongs to the day it was witnessed, unless its rkey is a time a day or more earlier. Then the archive had read
a whole repository, at its own beginning or after trouble, and the rkey tells when the like was made. Days are written
from the newest to the oldest, so such rows are there when their day is due. An unlike comes after its like, so all
unlikes are there by then too.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.backfill.segments import EARLIEST_US, Rows
from pipeline.store.fsync import sync
from pipeline.store.model import DAY_US
from sql import places

LIKE_ROW, UNLIKE_ROW = 1, 2
GROUP_ROWS = 131_072  # a day's part of a dated file is found by its row groups' smallest and largest day

ROWS = pa.schema(
    [
        ("kind", pa.uint8()), ("day", pa.int32()), ("seq", pa.int64()), ("liker_id", pa.int32()),
        ("rkey", pa.int64()), ("author_id", pa.int32()), ("post_rkey", pa.int64()), ("seen_us", pa.int64()),
    ]
)  # fmt: skip
VOID_ACCOUNTS = pa.schema([("actor_id", pa.int32()), ("seq", pa.int64())])

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Days:
    """The wanted days, [first, until), in days since 1970; rows of other days are left out."""

    first: int
    until: int


class SegmentRows:
    """The rows of one segment while it is decoded, some blocks at a time."""

    def __init__(self, days: Days) -> None:
        self._days = days
        self.counts: Counter[str] = Counter()
        self.found: list[pa.Table] = []  # for rows/
        self.dated: list[pa.Table] = []  # for dated/
        self.void: list[tuple[int, int]] = []  # for void/
        self.events = 0

    def add(self, rows: Rows, ids: dict[str, int]) -> None:
        """Add the rows of some blocks; ``ids`` has the actor id of every DID in them."""
        self.events += rows.events
        self.counts.update(rows.counts)
        self.void += [(ids[account.did], account.seq) for account in rows.void_accounts]
        if rows.likes:
            seq, witnessed, indexed, likers, rkey, authors, post_rkey = zip(*rows.likes, strict=True)
            witnessed_us, rkeys = np.array(witnessed), np.array(rkey)
            seen_us = _seen_us(witnessed_us, np.array(indexed), rkeys)
            liker_ids, author_ids = ([ids[did] for did in dids] for dids in (likers, authors))
            columns = [seq, liker_ids, rkeys, author_ids, post_rkey, seen_us]
            days = seen_us // DAY_US
            self._add(LIKE_ROW, days, days != witnessed_us // DAY_US, columns)
        if rows.unlikes:
            seq, witnessed, likers, rkey, replaced = zip(*rows.unlikes, strict=True)
            witnessed_us, rkeys = np.array(witnessed), np.array(rkey)
            # A time in the past tells the like's day, or the day before; without one it may be any earlier day.
            dated = (rkeys >= 0) & (rkeys >> 10 <= witnessed_us)
            days = np.where(dated, rkeys >> 10, witnessed_us) // DAY_US
            unliked_us = witnessed_us - np.array(replaced)  # an update does not undo its own new content
            nothing = np.zeros(len(seq), np.int64)
            columns = [seq, [ids[did] for did in likers], rkeys, nothing, nothing, unliked_us]
            self._add(UNLIKE_ROW, days, dated, columns)

    def _add(self, kind: int, days: Numbers, dated: NDArray[np.bool_], columns: Sequence[Any]) -> None:
        """Add the rows of one kind in the wanted days. An unlike may also be of the day before: its like may not be."""
        name = "like" if kind == LIKE_ROW else "unlike"
        wanted = (days >= self._days.first - (kind == UNLIKE_ROW)) & (days < self._days.until)
        for what, count in ((name, int(wanted.sum())), (f"{name}_of_other_day", int((~wanted).sum()))):
            if count:
                self.counts[what] += count
        arrays = [np.full(len(days), kind), days, *columns]
        table = pa.Table.from_arrays(
            [pa.array(array, field.type) for array, field in zip(arrays, ROWS, strict=True)], schema=ROWS
        )
        self.found.append(table.filter(pa.array(wanted & ~dated)))
        self.dated.append(table.filter(pa.array(wanted & dated)))


def _seen_us(witnessed_us: Numbers, indexed_us: Numbers, rkeys: Numbers) -> Numbers:
    """Return the times at which likes count as seen; the module's docstring has the rule."""
    claimed_us = np.where(rkeys >= 0, rkeys >> 10, 0)
    is_claimed = (claimed_us > EARLIEST_US) & (claimed_us < witnessed_us - DAY_US)
    is_indexed = (indexed_us > EARLIEST_US) & (indexed_us <= witnessed_us)
    seen: Numbers = np.where(is_indexed, indexed_us, np.where(is_claimed, claimed_us, witnessed_us))
    return seen


class Spool:
    """The files of one archive's host; its folder is made if need be."""

    def __init__(self, data_dir: Path, host: str) -> None:
        self.root = places.spool(data_dir, host)
        for name in ("done", "rows", "dated", "void", "download", "out"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def downloads(self) -> Path:
        """The folder that segments are fetched into."""
        return self.root / "download"

    def decoded(self) -> set[str]:
        """Return the names of the segments that are decoded."""
        return {path.name.removesuffix(".json") for path in (self.root / "done").glob("*.jss.json")}

    def write(self, name: str, segment: SegmentRows) -> None:
        """Store a segment's rows; it counts as decoded when this returns."""
        if segment.found:
            found = pa.concat_tables(segment.found)
            for day in pc.unique(found["day"]).to_pylist():
                folder = self.root / "rows" / places.day_name(day)
                folder.mkdir(exist_ok=True)
                _write(folder / name, found.filter(pc.equal(found["day"], day)))
            dated = pa.concat_tables(segment.dated).sort_by([("day", "ascending")])
            if len(dated):
                _write(self.root / "dated" / name, dated)
        if segment.void:
            columns = zip(*segment.void, strict=True)
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, VOID_ACCOUNTS, strict=True)
            ]
            _write(self.root / "void" / name, pa.Table.from_arrays(arrays, schema=VOID_ACCOUNTS))
        note = {"events": segment.events, "counts": dict(segment.counts)}
        _write_text(self.root / "done" / f"{name}.json", json.dumps(note))

    def counts(self, names: Iterable[str]) -> Counter[str]:
        """Return the sum of what was counted in those of these segments that are decoded."""
        total: Counter[str] = Counter()
        for name in names:
            path = self.root / "done" / f"{name}.json"
            if path.exists():
                total.update(json.loads(path.read_text())["counts"])
        return total

    def row_files(self, day: int) -> list[Path]:
        """Return the files with rows witnessed on a day."""
        return sorted((self.root / "rows" / places.day_name(day)).glob("*.jss"))

    def row_days(self) -> list[int]:
        """Return the days that have files with rows witnessed on them."""
        return sorted(places.day_number(folder.name) for folder in (self.root / "rows").iterdir())

    def dated_files(self) -> list[Path]:
        """Return the files of rows that belong to the day in their rkey."""
        return sorted((self.root / "dated").glob("*.jss"))

    def void_files(self) -> list[Path]:
        """Return the files of actors whose earlier rows are void."""
        return sorted((self.root / "void").glob("*.jss"))

    def clear_day(self, day: int) -> None:
        """Remove the rows witnessed on a day that is in the lake."""
        shutil.rmtree(self.root / "rows" / places.day_name(day), ignore_errors=True)


def _write(path: Path, table: pa.Table) -> None:
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(table, temporary, compression="zstd", row_group_size=GROUP_ROWS, use_dictionary=False)
    _commit(temporary, path)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    _commit(temporary, path)


def _commit(temporary: Path, path: Path) -> None:
    """Sync a file to the disk and give it its name."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)
