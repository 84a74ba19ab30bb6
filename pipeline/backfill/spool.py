"""What was decoded of segments and is not in the lake yet, on disk, so that a run can go on after any end.

Owns: which day a row belongs to, and the files of ``DATA_DIR/backfill/<host>``. Leaves to others: decoding
(``segments``), making a day of the lake (``day_into_lake``).

    done/SEGMENT.json        the segment is decoded: its other files are whole; what was counted
    rows/YYYY-MM-DD/SEGMENT  its likes of that day, and unlikes of that day whose rkeys tell nothing
    kept/SEGMENT             likes of days before it was witnessed, and unlikes, by the day in their rkey
    gone/SEGMENT             actors whose earlier rows are void
    download/, out/          files being fetched and written

Invariant: a segment is decoded exactly when its file in done/ exists; that is renamed there after all else of
it is on the disk, and decoding again writes the same files.

A like belongs to the day it was witnessed, but for one whose rkey is a time a day or more earlier: the
archive has read a whole repository then (at its own beginning, or after trouble), and the rkey tells when it
was liked. Days are made from the newest to the oldest, so such rows are at hand when their day's turn comes;
an unlike comes after its like, so by then all unlikes are at hand too.
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
GROUP_ROWS = 131_072  # a day's part of a kept file is found by its row groups' smallest and largest day

ROWS = pa.schema(
    [
        ("kind", pa.uint8()), ("day", pa.int32()), ("seq", pa.int64()), ("liker_id", pa.int32()),
        ("rkey", pa.int64()), ("author_id", pa.int32()), ("post_rkey", pa.int64()), ("seen_us", pa.int64()),
    ]
)  # fmt: skip
GONE = pa.schema([("actor_id", pa.int32()), ("seq", pa.int64())])

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Days:
    """The days that are wanted, [first, until), in days since 1970; rows of others are left out."""

    first: int
    until: int


class SegmentRows:
    """The rows of one segment while it is decoded, a stretch of blocks at a time."""

    def __init__(self, days: Days) -> None:
        self._days = days
        self.counts: Counter[str] = Counter()
        self.found: list[pa.Table] = []  # for rows/
        self.kept: list[pa.Table] = []  # for kept/
        self.gone: list[tuple[int, int]] = []
        self.events = 0

    def add(self, rows: Rows, ids: dict[str, int]) -> None:
        """Take a stretch of rows; ``ids`` has the actor id of every DID in them."""
        self.events += rows.events
        self.counts.update(rows.counts)
        self.gone += [(ids[departure.did], departure.seq) for departure in rows.departures]
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
            # A time in the past tells near which day the like is; without one it may be on any before.
            dated = (rkeys >= 0) & (rkeys >> 10 <= witnessed_us)
            days = np.where(dated, rkeys >> 10, witnessed_us) // DAY_US
            hidden_us = witnessed_us - np.array(replaced)  # what an update says itself is not undone by it
            nothing = np.zeros(len(seq), np.int64)
            columns = [seq, [ids[did] for did in likers], rkeys, nothing, nothing, hidden_us]
            self._add(UNLIKE_ROW, days, dated, columns)

    def _add(self, kind: int, days: Numbers, keep: NDArray[np.bool_], columns: Sequence[Any]) -> None:
        """Add rows of one kind: of the wanted days, and for unlikes the day before, whose likes may be of the first."""
        name = "like" if kind == LIKE_ROW else "unlike"
        wanted = (days >= self._days.first - (kind == UNLIKE_ROW)) & (days < self._days.until)
        for what, count in ((name, int(wanted.sum())), (f"{name}_of_other_day", int((~wanted).sum()))):
            if count:
                self.counts[what] += count
        arrays = [np.full(len(days), kind), days, *columns]
        table = pa.Table.from_arrays(
            [pa.array(array, field.type) for array, field in zip(arrays, ROWS, strict=True)], schema=ROWS
        )
        self.found.append(table.filter(pa.array(wanted & ~keep)))
        self.kept.append(table.filter(pa.array(wanted & keep)))


def _seen_us(witnessed_us: Numbers, indexed_us: Numbers, rkeys: Numbers) -> Numbers:
    """Return when likes count as seen: see the module's text."""
    claimed_us = np.where(rkeys >= 0, rkeys >> 10, 0)
    is_claimed = (claimed_us > EARLIEST_US) & (claimed_us < witnessed_us - DAY_US)
    is_indexed = (indexed_us > EARLIEST_US) & (indexed_us <= witnessed_us)
    seen: Numbers = np.where(is_indexed, indexed_us, np.where(is_claimed, claimed_us, witnessed_us))
    return seen


class Spool:
    """The files of one archive's host."""

    def __init__(self, data_dir: Path, host: str) -> None:
        self.root = places.spool(data_dir, host)
        for name in ("done", "rows", "kept", "gone", "download", "out"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def downloads(self) -> Path:
        """The folder that segments are fetched into."""
        return self.root / "download"

    def decoded(self) -> set[str]:
        """Return the names of the segments that are decoded."""
        return {path.name.removesuffix(".json") for path in (self.root / "done").glob("*.jss.json")}

    def write(self, name: str, segment: SegmentRows) -> None:
        """Keep a segment's rows; it counts as decoded when this returns."""
        if segment.found:
            found = pa.concat_tables(segment.found)
            for day in pc.unique(found["day"]).to_pylist():
                folder = self.root / "rows" / places.day_name(day)
                folder.mkdir(exist_ok=True)
                _write(folder / name, found.filter(pc.equal(found["day"], day)))
            kept = pa.concat_tables(segment.kept).sort_by([("day", "ascending")])
            if len(kept):
                _write(self.root / "kept" / name, kept)
        if segment.gone:
            columns = zip(*segment.gone, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, GONE, strict=True)]
            _write(self.root / "gone" / name, pa.Table.from_arrays(arrays, schema=GONE))
        note = {"events": segment.events, "counts": dict(segment.counts)}
        _write_text(self.root / "done" / f"{name}.json", json.dumps(note))

    def counts(self, names: Iterable[str]) -> Counter[str]:
        """Return what was counted in the decoded ones of these segments."""
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

    def kept_files(self) -> list[Path]:
        """Return the files with rows by the day in their rkey."""
        return sorted((self.root / "kept").glob("*.jss"))

    def gone_files(self) -> list[Path]:
        """Return the files of actors whose earlier rows are void."""
        return sorted((self.root / "gone").glob("*.jss"))

    def clear_day(self, day: int) -> None:
        """Drop what was witnessed on a day that is in the lake."""
        shutil.rmtree(self.root / "rows" / places.day_name(day), ignore_errors=True)


def _write(path: Path, table: pa.Table) -> None:
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(table, temporary, compression="zstd", row_group_size=GROUP_ROWS, use_dictionary=False)
    _settle(temporary, path)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    _settle(temporary, path)


def _settle(temporary: Path, path: Path) -> None:
    """Bring a file to the disk and give it its name."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)
