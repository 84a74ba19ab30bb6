"""Every history of one like record told to a real store, looked at before and after each fold.

    python tests/record_runs.py [--draws 1] [--seed 1] [--order ORDER] [--share 1.0]

Each history has an actor of its own, so one store carries all of them on one time line: the words go through the
decoder of Jetstream and ``Landing.append``, files through ``backfill --file``, an archive's days through real segments
and the spool as with ``backfill --days``, repositories through ``HistoryStore``.
The low watermark moves with the time line, days are folded in one of five orders, and ingest's retention removes what
is in the lake. Before each fold and after it, what readers see is compared with ``record_histories.Ledger``. Prints
the smallest histories that end wrong, and last one line of JSON; the exit status is 1 when there is one.
tests/test_histories.py runs a part of it.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import duckdb
from archive_server import encode_segment
from record_histories import (
    FIRST_DAY,
    LAST_DAY,
    SUBJECTS,
    Ledger,
    RecordHistory,
    Telling,
    all_histories,
)

from pipeline.backfill import file_of_lines
from pipeline.backfill.day_into_lake import tell_day
from pipeline.backfill.segments import Rows, block_frames, decode_block
from pipeline.backfill.spool import SegmentRows, Spool
from pipeline.demo.stored_likes import like_records
from pipeline.identifiers import tid_at
from pipeline.ingest import jetstream
from pipeline.lake.compact import compact
from pipeline.lake.merge import merge_day
from pipeline.ranking import Ranking
from pipeline.store.archived_words import ArchiveStore
from pipeline.store.events import EventBatch
from pipeline.store.fetch_admission import HistoryLike, Statement
from pipeline.store.fetched_likes import DONE, HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US, NAMED_DAY, day_of_key, first_open_day
from sql import places

ORDERS = ("each day", "at the end", "each day twice", "each day, landing keeps all", "random days")
RANKING = Ranking()
MEMORY = Path("/dev/shm")  # a disk that forgets: most of the time would go into waiting for a real one
NAMES = {subject: name for name, subject in SUBJECTS.items()}


@dataclass(slots=True)
class Wrong:
    """A history of which readers saw something else."""

    history: RecordHistory
    when: str
    seen: tuple[str, ...]
    wanted: str

    @property
    def kind(self) -> str:
        if len(self.seen) > 1:
            return "double"
        if not self.seen:
            return "lost"
        return "other" if self.wanted else "invented"

    def __str__(self) -> str:
        return f"{self.kind} ({self.when}): saw {list(self.seen)}, wanted {self.wanted!r}: {self.history}"


@dataclass
class Run:
    """A store, the histories that are told to it, and what is wrong."""

    data_dir: Path
    histories: Sequence[RecordHistory]
    order: str
    seed: int = 1
    wrong: dict[str, Wrong] = field(default_factory=dict)  # by DID: the first time

    def __post_init__(self) -> None:
        self.choose = random.Random(self.seed)
        self.by_did = {history.did: history for history in self.histories}
        self.ledgers = {history.did: Ledger(history.rkey) for history in self.histories}
        self.waits: set[str] = set()  # whose like was told late: it counts after the next fold of its day
        self.wanted: dict[str, str] = {}
        self.landing = Landing(self.data_dir)

    def run(self) -> Counter[str]:
        """Tell everything; return how many are wrong of each kind."""
        tellings = [
            (telling.at_us, history.did, telling)
            for history in self.histories
            for telling in history.tellings()
        ]
        tellings.sort(key=lambda told: told[:2])
        position = 0
        for day in range(LAST_DAY + 3):
            now_us = (FIRST_DAY + day) * DAY_US + 2 * HOUR_US
            until = position
            while until < len(tellings) and tellings[until][0] < now_us:
                until += 1
            self._tell(tellings[position:until], now_us)
            name = f"day {day}"
            if until > position:
                self._look(f"{name}, before the fold")
            position = until
            self._fold(day, name)
        assert position == len(tellings)
        self.landing.close()
        return Counter(wrong.kind for wrong in self.wrong.values())

    def _tell(self, tellings: Iterable[tuple[int, str, Telling]], now_us: int) -> None:
        channels: dict[str, list[tuple[str, Telling]]] = {
            "stream": [],
            "viewer": [],
            "host": [],
            "replay": [],
            "file": [],
            "days": [],
        }
        for _, did, telling in tellings:
            channels[telling.how].append((did, telling))
        files = places.closed_days(self.data_dir) | places.changes(self.data_dir).keys() & {NAMED_DAY}
        for how, told in channels.items():
            for did, telling in told:
                self._note(did, telling, files)
            if how == "file":
                self._tell_file(told)
            elif how == "days":
                self._tell_days(told)
            elif how == "viewer":
                self._tell_repositories(told, now_us)
            else:
                for words in _rounds(told):
                    self._append(words, now_us)
        self._append([], now_us)

    def _note(self, did: str, telling: Telling, files: set[int]) -> None:
        ledger = self.ledgers[did]
        known = set(ledger.words)
        ledger.add(telling)
        self.wanted[did] = ledger.found
        rev, subject = ledger.last()
        if not subject or telling.fetch == (rev, subject):
            self.waits.discard(did)  # what a repository lists counts at once
        elif (rev, subject) not in known:
            self.waits.discard(did)
            if day_of_key(ledger.rkey) in files and telling.how != "days":  # these are merged at once
                self.waits.add(did)

    def _append(self, told: Iterable[tuple[str, Telling]], now_us: int) -> None:
        batch = EventBatch()
        lines = [
            line for did, telling in told for line in self.by_did[did].lines(telling.words, telling.skew_us)
        ]
        jetstream.decode(lines, batch)
        batch.newest_us = batch.low_us = batch.value = batch.event_us = batch.last_us = now_us
        self.landing.append(batch, "one.example", jetstream.WIRE)

    def _tell_file(self, told: Sequence[tuple[str, Telling]]) -> None:
        lines = [line for did, telling in told for line in self.by_did[did].lines(telling.words)]
        if lines:
            self.landing.close()
            path = self.data_dir / "lines.jsonl"
            path.write_bytes(b"\n".join(lines))
            file_of_lines.run(self.data_dir, str(path))
            self.landing = Landing(self.data_dir)

    def _tell_days(self, told: Sequence[tuple[str, Telling]]) -> None:
        words = sorted((word.seen_us, did, word) for did, telling in told for word in telling.words)
        if not words:
            return
        events = [self.by_did[did].archived(word, number) for number, (_, did, word) in enumerate(words, 1)]
        low_us = self.landing.low_us
        self.landing.close()
        store, spool = ArchiveStore(self.data_dir), Spool(self.data_dir, "archive.example")
        path = spool.downloads / "one.jss"
        path.write_bytes(encode_segment(events))
        segment, rows = SegmentRows(0), Rows()
        for frame in block_frames(path):
            decode_block(frame, rows)
        segment.add(rows, store.intern(rows.dids()))
        store.state(segment.statements)
        spool.write(path.name, segment)
        for day in reversed(spool.row_days()):
            tell_day(
                self.data_dir, spool, store, day, first_open_day=first_open_day(low_us), since_us=0, threads=1
            )
        spool.clear()
        store.close()
        self.landing = Landing(self.data_dir)

    def _tell_repositories(self, told: Sequence[tuple[str, Telling]], now_us: int) -> None:
        store = HistoryStore(self.data_dir)
        store._connection.execute("PRAGMA synchronous = OFF")
        for did, telling in told:
            fetch, history = telling.fetch, self.by_did[did]
            assert fetch is not None
            likes = []
            if fetch.subject:
                likes = [HistoryLike(history.rkey, *SUBJECTS[fetch.subject], min(history.rkey >> 10, now_us))]
            store.intern(like.author for like in likes)
            statement = Statement(fetch.rev, tid_at((FIRST_DAY - 5) * DAY_US))
            store.store_viewer(did, likes, now_us, DONE, statement=statement)
        store.close()

    def _fold(self, day: int, name: str) -> None:
        if self.order == "at the end" and day < LAST_DAY:
            return
        if self.order == "random days" and day < LAST_DAY:
            self._fold_random()
        else:
            times = 2 if self.order == "each day twice" else 1
            for _ in range(times):
                if times == 2:
                    for file in places.lake(self.data_dir).glob("likes/*/likes.parquet"):
                        os.utime(file, (1, 1))
                list(compact(self.data_dir, RANKING, 1))
            self.waits.clear()
        self._look(f"{name}, folded")
        if self.order != "each day, landing keeps all" and (
            self.order != "random days" or self.choose.random() < 0.5
        ):
            retention = Retention(self.landing, self.data_dir, 90.0)
            for _ in range(200):
                retention.step()
            self._look(f"{name}, purged")

    def _fold_random(self) -> None:
        open_day = first_open_day(self.landing.low_us)
        known = {day_of_key(history.rkey) for history in self.histories}
        days = [day for day in known if day < open_day and self.choose.random() < 0.3]
        self.choose.shuffle(days)
        for day in days:
            with duckdb.connect(config={"threads": 1}) as connection:
                look = self.choose.random() < 0.3 and (
                    day == NAMED_DAY or places.likes(self.data_dir, day).exists()
                )
                list(merge_day(self.data_dir, day, connection, look=look))
            self.waits = {did for did in self.waits if day_of_key(self.by_did[did].rkey) != day}

    def _look(self, when: str) -> None:
        seen: dict[str, tuple[str, ...]] = {}
        for record in like_records(self.data_dir)[0]:
            name = NAMES.get((record.author, record.post_rkey), "?")
            if record.rkey != self.by_did[record.liker].rkey:
                name = "another key"
            seen[record.liker] = (*seen.get(record.liker, ()), name)
        for did, wanted in self.wanted.items():
            found = seen.get(did, ())
            if found == ((wanted,) if wanted else ()) or (not found and did in self.waits):
                continue
            self.wrong.setdefault(did, Wrong(self.by_did[did], when, found, wanted))


def _rounds(told: list[tuple[str, Telling]]) -> Iterator[list[tuple[str, Telling]]]:
    """Yield what is told in batches: of every second actor the words come together, of the others one a batch."""
    batches: list[list[tuple[str, Telling]]] = [[]]
    for _, group in groupby(sorted(told, key=lambda one: one[0]), key=lambda one: one[0]):
        for place, one in enumerate(group):
            batch = place if one[0][-1] in "abcdefghijklmnop" else 0
            batches.extend([] for _ in range(batch + 1 - len(batches)))
            batches[batch].append(one)
    yield from batches


def run_orders(
    histories: Sequence[RecordHistory], orders: Sequence[str] = ORDERS, *, seed: int = 1
) -> dict[str, list[Wrong]]:
    """Tell histories to a new store for each order of folding; return what is wrong with each."""
    found: dict[str, list[Wrong]] = {}
    for order in orders:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            run = Run(Path(folder), histories, order, seed)
            run.run()
            found[order] = sorted(run.wrong.values(), key=lambda wrong: len(wrong.history.words))
    return found


def main() -> None:
    """Do the runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--draws", type=int, default=1, help="gaps and missed words tried of each longer history"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", default="", help="one order of folding alone")
    parser.add_argument("--share", type=float, default=1.0, help="of the histories that are run")
    options = parser.parse_args()
    choose = random.Random(options.seed)
    histories = [one for one in all_histories(options.draws, options.seed) if choose.random() < options.share]
    figures: dict[str, object] = {"histories": len(histories)}
    failed = 0
    for order in [options.order] if options.order else ORDERS:
        began = time.monotonic()
        wrong = run_orders(histories, [order], seed=options.seed)[order]
        failed += len(wrong)
        kinds = dict(Counter(one.kind for one in wrong))
        seconds = round(time.monotonic() - began, 1)
        print(f"{order}: {len(histories):,} histories, wrong {kinds or 0}, {seconds} s", flush=True)
        shown: Counter[tuple[str, str]] = Counter()
        for one in wrong:
            shape = one.kind, one.history.telling
            shown[shape] += 1
            if shown[shape] <= 2:
                print(f"  {one}", flush=True)
        figures[order] = {"wrong": kinds, "seconds": seconds}
    print(json.dumps(figures))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
