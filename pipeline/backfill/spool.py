"""Decoded words on disk that are not reported yet, so that a run can resume after any end.

Owns: which day a word belongs to, when it counts as seen, and the files of one archive's host. Leaves to others:
decoding (``segments``), telling the words (``day_into_lake``).

    done/SEGMENT.json   the segment is decoded: its words are in rows/ or reported already; what was counted
    rows/DAY/SEGMENT    words about records whose keys name that day (``store.model.day_of_key``)
    download/, out/     files being fetched; where DuckDB spills

Invariant: a segment is decoded exactly when its file in done/ exists. That file is renamed there after all the others
are on the disk, and decoding again writes the same files. The greatest rev wins (``lake.reader``), so it does not
matter in which order words are reported, nor how often. What a run fetched is cleared once all of it is reported.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.backfill.segments import EARLIEST_US, Rows
from pipeline.lake.reader import WORD_SCHEMA
from pipeline.store.model import DAY_US, FIRST_KEY_DAY, NAMED_DAY
from pipeline.store.whole_files import whole
from sql import places

GROUP_ROWS = 131_072

Numbers = NDArray[np.int64]


class SegmentRows:
    """The words of one segment while it is decoded, some blocks at a time; those of days before the first are left."""

    def __init__(self, first_day: int) -> None:
        self.first_day = first_day
        self.counts: Counter[str] = Counter()
        self.words: list[pa.Table] = []
        self.days: list[Numbers] = []
        self.statements: dict[int, int] = {}  # actor id -> the rev up to which earlier words are void
        self.events = 0

    def add(self, rows: Rows, ids: dict[str, int]) -> None:
        """Add the rows of some blocks; ``ids`` has the actor id of every DID in them."""
        self.events += rows.events
        self.counts.update(rows.counts)
        for did, until in rows.statements.items():
            self.statements[ids[did]] = max(until, self.statements.get(ids[did], 0))
        if not rows.words:
            return
        witnessed, indexed, likers, rkey, rev, authors, post_rkey, marks = zip(*rows.words, strict=True)
        rkeys = np.array(rkey, np.int64)
        key_days = (rkeys >> 10) // DAY_US
        days = np.where(key_days >= FIRST_KEY_DAY, key_days, NAMED_DAY)
        wanted = (days >= self.first_day) | (days == NAMED_DAY)
        likes = np.array([author is not None for author in authors])
        for name, found in (("like", wanted & likes), ("unlike", wanted & ~likes), ("of_other_day", ~wanted)):
            if found.any():
                self.counts[name] += int(found.sum())
        seen_us = _seen_us(np.array(witnessed, np.int64), np.array(indexed, np.int64), rkeys)
        author_ids = [None if did is None else ids[did] for did in authors]
        arrays = ([ids[did] for did in likers], rkeys, rev, author_ids, post_rkey, seen_us, marks)
        columns = [pa.array(array, field.type) for array, field in zip(arrays, WORD_SCHEMA, strict=True)]
        self.words.append(pa.Table.from_arrays(columns, schema=WORD_SCHEMA).filter(pa.array(wanted)))
        self.days.append(days[wanted])


def _last_of_commits(words: pa.Table) -> Numbers:
    """Return the places of all words but those that a later one of the same commit replaces.

    They have one rev, so what an archive says first can't be distinguished from what it says last once they are apart.
    """
    likers, rkeys, revs = (words.column(name).to_numpy() for name in ("liker_id", "rkey", "rev"))
    # Nearly always there are none, and a sort of numbers that are mixed of the three shows it.
    mixed = np.sort((revs * 0x9E3779B1) ^ (rkeys * 0x85EBCA77) ^ likers)
    if not (mixed[1:] == mixed[:-1]).any():
        return np.arange(len(words))
    last = {key: place for place, key in enumerate(zip(likers, rkeys, revs, strict=True))}
    return np.sort(np.fromiter(last.values(), np.int64, len(last)))


def _seen_us(witnessed_us: Numbers, indexed_us: Numbers, rkeys: Numbers) -> Numbers:
    """Return when records count as seen: when they were indexed, else when they were witnessed.

    A key that names a time a day or more before that is of a repository that was read whole, at the archive's own
    beginning or after trouble: the record was made then.
    """
    claimed_us = np.where(rkeys >= 0, rkeys >> 10, 0)
    is_claimed = (claimed_us > EARLIEST_US) & (claimed_us < witnessed_us - DAY_US)
    is_indexed = (indexed_us > EARLIEST_US) & (indexed_us <= witnessed_us)
    seen: Numbers = np.where(is_indexed, indexed_us, np.where(is_claimed, claimed_us, witnessed_us))
    return seen


class Spool:
    """The files of one archive's host; its folder is made if need be."""

    def __init__(self, data_dir: Path, host: str) -> None:
        self.root = places.spool(data_dir, host)
        for name in ("done", "rows", "download", "out"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def downloads(self) -> Path:
        """The folder that segments are fetched into."""
        return self.root / "download"

    def decoded(self, first_day: int) -> set[str]:
        """Return the names of the segments that are decoded, with all words about days from this one on."""
        return {name for name, note in self._notes() if note["first_day"] <= first_day}

    def write(self, name: str, segment: SegmentRows) -> None:
        """Store a segment's words; it counts as decoded when this returns."""
        if segment.words:
            words, days = pa.concat_tables(segment.words), np.concatenate(segment.days)
            last = _last_of_commits(words)
            order = last[np.argsort(days[last], kind="stable")]
            words, days = words.take(pa.array(order)), days[order]
            starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1)) if len(days) else ()
            for start, end in zip(starts, [*starts[1:], len(days)], strict=False):
                folder = self.root / "rows" / places.day_name(int(days[start]))
                folder.mkdir(exist_ok=True)
                _write(folder / name, words.slice(start, end - start))
        note = {
            "events": segment.events,
            "counts": dict(segment.counts),
            "first_day": segment.first_day,
        }
        _write_text(self.root / "done" / f"{name}.json", json.dumps(note))

    def counts(self, names: Iterable[str]) -> Counter[str]:
        """Return the sum of what was counted in those of these segments that are decoded."""
        wanted, total = set(names), Counter[str]()
        for name, note in self._notes():
            if name in wanted:
                total.update(note["counts"])
        return total

    def row_files(self, day: int) -> list[Path]:
        """Return the files with words of a day."""
        return sorted((self.root / "rows" / places.day_name(day)).glob("*.jss"))

    def row_days(self) -> list[int]:
        """Return the days that have words which are not reported yet."""
        return sorted(places.day_number(folder.name) for folder in (self.root / "rows").iterdir())

    def clear_day(self, day: int) -> None:
        """Remove the words of a day, which are reported."""
        shutil.rmtree(self.root / "rows" / places.day_name(day), ignore_errors=True)

    def clear(self) -> None:
        """Forget what was fetched: all of it is reported."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _notes(self) -> list[tuple[str, dict[str, Any]]]:
        paths = sorted((self.root / "done").glob("*.jss.json"))
        return [(path.name.removesuffix(".json"), json.loads(path.read_text())) for path in paths]


def _write(path: Path, table: pa.Table) -> None:
    with whole(path) as draft:
        pq.write_table(table, draft, compression="zstd", row_group_size=GROUP_ROWS, use_dictionary=False)


def _write_text(path: Path, text: str) -> None:
    with whole(path) as draft:
        draft.write_text(text)
