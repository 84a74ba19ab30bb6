"""Every legal history of one like record, how it is told, and which like is left of it: plain Python, no SQL.

Owns: the operations on a record, when they happen, under which key, which words about them the stream misses, how
they are told again, and the rule itself (``Ledger``). Leaves to others: telling a store, and looking (``record_runs``).

The rule: of the words about a record that anybody told, the one with the greatest rev wins; of several operations in
one commit the last. Words that are older than a deletion of their account, or than a repository that was read whole,
are void. What nobody told, nobody knows: a record whose deletion was never told still exists.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import archive_server
import orjson

from pipeline.clock import SKEW_US
from pipeline.identifiers import TID_ALPHABET, post_uri, rkey_to_int, tid_at, tid_from_int
from pipeline.store.model import DAY_US, HOUR_US

FIRST_DAY = 20_400  # 2025-11-08
LATE_DAY = 14  # after the first: everything happened, and is told again
LAST_DAY = 19  # when the day of every key has closed
LIKE = "app.bsky.feed.like"
SECOND_US = 1_000_000
GAPS_US = (2 * SECOND_US, 5 * HOUR_US, 27 * HOUR_US, 3 * DAY_US)
STARTS_US = (10 * HOUR_US, DAY_US - SECOND_US)  # two seconds later is over midnight
SUBJECTS = {"a": ("did:plc:" + "a" * 24, tid_at(FIRST_DAY * DAY_US)), "b": ("did:plc:" + "b" * 24, 7)}
# What can be done to a record that is absent, or a like of a or b; 'D a' in one commit deletes and creates.
AFTER = {
    "": ("C a", "C b", "C a+D"),
    "a": ("U b", "D", "D+C b", "D+C a", "account deleted"),
    "b": ("U a", "D", "D+C a", "account deleted"),
    "deleted": ("account back",),
}
# A record's key, as its distance from the first create; None: no TID, or one from before likes were.
KEYS_US = {
    "ordinary": -10_000, "the rev itself": 0, "half a second ahead": 400_000, "seconds ago": -3 * SECOND_US,
    "days ago": -4 * DAY_US, "in hours": 6 * HOUR_US, "in days": 3 * DAY_US + HOUR_US, "in weeks": 17 * DAY_US,
    "self": None, "of 2001": None,
}  # fmt: skip
TELLINGS = (
    "never", "file late, missed", "file late, all", "file late, half", "file soon, missed",
    "file soon, and replay late", "replay late", "host ahead late, missed", "host behind late, all", "viewer late",
    "viewer soon", "viewer read before the last, told late", "viewer later rev late, and replay late",
    "viewer soon, and file late, all", "days soon, missed", "days late, missed", "days late, all", "days late, half",
    "days soon, all, and replay late", "viewer soon, and days late, all",
)  # fmt: skip
SKEWS_US = {"ahead": 900_000, "behind": -900_000}


class Word(NamedTuple):
    """What a stream tells: about the record (subject 'a', 'b' or '' for gone), or about the account."""

    operation: str  # create, update, delete, deleted, active
    subject: str
    rev: int
    seen_us: int
    commit: int  # several words may be of one


class Fetch(NamedTuple):
    """A repository read whole: its rev, and the subject that it lists for the record, '' for none."""

    rev: int
    subject: str


class Telling(NamedTuple):
    """Something told at a time: 'stream', 'file', 'days', 'replay', 'host' (words), or 'viewer' (a fetch)."""

    at_us: int
    how: str
    words: tuple[Word, ...] = ()
    fetch: Fetch | None = None
    skew_us: int = 0


@dataclass(slots=True)
class RecordHistory:
    """One history, of an actor of its own."""

    number: int
    operations: tuple[str, ...]
    gaps_us: tuple[int, ...]
    start_us: int
    key_kind: str
    missed: frozenset[int]  # of the words
    telling: str
    did: str = field(init=False)
    key: str = field(init=False)
    rkey: int = field(init=False)
    words: list[Word] = field(init=False)

    def __post_init__(self) -> None:
        self.did = "did:plc:" + "".join(
            TID_ALPHABET[self.number >> shift & 31] for shift in range(115, -1, -5)
        )
        begin_us = FIRST_DAY * DAY_US + self.start_us + self.number * 7_919 % 400_000
        offset = KEYS_US[self.key_kind]
        if offset is None:
            self.key = "self" if self.key_kind == "self" else tid_from_int(tid_at(10**15, 3))
        else:
            self.key = tid_from_int(tid_at(begin_us + offset, 3 if offset else 7))
        number = rkey_to_int(self.key)
        assert number is not None
        self.rkey = number
        self.words = list(self._words(begin_us))

    def __str__(self) -> str:
        hours = ", ".join(f"{gap / HOUR_US:.4g} h" for gap in self.gaps_us)
        return (
            f"{' | '.join(self.operations)}; gaps {hours}; begins {self.start_us / HOUR_US:.4g} h; "
            f"key {self.key_kind}; missed {sorted(self.missed)}; told: {self.telling}; {self.did} {self.rkey}"
        )

    def _words(self, at_us: int) -> Iterator[Word]:
        for number, operation in enumerate(self.operations):
            if number:
                at_us += self.gaps_us[number - 1]
                if self.operations[number - 1].startswith("account"):
                    at_us += 20 * 60 * SECOND_US  # longer than clocks differ
            rev = tid_at(at_us, 7)
            if operation.startswith("account"):
                yield Word(
                    {"account back": "active"}.get(operation, "deleted"), "", rev, at_us + 300_000, number
                )
                continue
            for place, part in enumerate(operation.split("+")):
                kind = {"C": "create", "U": "update", "D": "delete"}[part[0]]
                yield Word(kind, part[2:], rev, at_us + 300_000 + place, number)

    def lines(self, words: tuple[Word, ...], skew_us: int = 0) -> Iterator[bytes]:
        """Yield words as Jetstream sends them."""
        for word in words:
            event: dict[str, object] = {"did": self.did, "time_us": word.seen_us + skew_us}
            if word.operation in ("deleted", "active"):
                active = word.operation == "active"
                account = {"active": active, "did": self.did, "seq": 1, "time": ""}
                event |= {
                    "kind": "account",
                    "account": account if active else account | {"status": "deleted"},
                }
            else:
                commit = {
                    "rev": tid_from_int(word.rev),
                    "operation": word.operation,
                    "collection": LIKE,
                    "rkey": self.key,
                }
                if word.subject:
                    uri = post_uri(*SUBJECTS[word.subject])
                    commit |= {"record": {"$type": LIKE, "subject": {"uri": uri, "cid": "c"}}}  # type: ignore[dict-item]
                event |= {"kind": "commit", "commit": commit}
            yield orjson.dumps(event)

    def archived(self, word: Word, seq: int) -> archive_server.Event:
        """Return a word as an archive has it."""
        if word.operation in ("deleted", "active"):
            active = word.operation == "active"
            return archive_server.account(
                seq, word.seen_us, self.did, active=active, status=None if active else "deleted"
            )
        if not word.subject:
            return archive_server.unlike(seq, word.seen_us, self.did, self.key, word.rev)
        kind = archive_server.UPDATE if word.operation == "update" else archive_server.CREATE
        uri = post_uri(*SUBJECTS[word.subject])
        return archive_server.like(seq, word.seen_us, self.did, self.key, uri, kind, word.rev)

    def tellings(self) -> Iterator[Telling]:
        """Yield all that is told, the stream first."""
        for place, word in enumerate(self.words):
            if place not in self.missed:
                yield Telling(word.seen_us, "stream", (word,))
        every, missed = tuple(self.words), tuple(self.words[place] for place in sorted(self.missed))
        late_us, soon_us = (FIRST_DAY + LATE_DAY) * DAY_US + DAY_US // 2, self.words[-1].seen_us + HOUR_US
        for part in self.telling.split(", and "):
            at_us = late_us if "late" in part else soon_us
            if part.startswith(("file", "days")):
                words = every if "all" in part else missed[::2] if "half" in part else missed
                yield Telling(at_us, part[:4], words)
            elif part.startswith("replay"):
                yield Telling(at_us + HOUR_US, "replay", every)
            elif part.startswith("host"):
                words = missed if "missed" in part else every
                yield Telling(at_us, "host", words, skew_us=SKEWS_US[part.split()[1]])
            elif part.startswith("viewer"):
                fetch = self._fetch(before_last="before" in part, later="later" in part)
                if fetch is not None:
                    yield Telling(at_us, "viewer", fetch=fetch)

    def ledger(self) -> "Ledger":
        """Return what is known once everything is told."""
        ledger = Ledger(self.rkey)
        for telling in self.tellings():
            ledger.add(telling)
        return ledger

    def _fetch(self, *, before_last: bool, later: bool) -> Fetch | None:
        last = self.words[-1].commit - before_last
        words = [word for word in self.words if word.commit <= last]
        if not words or words[-1].operation == "deleted":
            return None  # no repository
        commits = [word.rev for word in words if word.operation not in ("deleted", "active")]
        rev = max(commits) if words[-1].operation != "active" else words[-1].rev + (70 * SECOND_US << 10)
        if later:
            rev = words[-1].rev + (7 * SECOND_US << 10)
            if words[-1].operation == "active":
                rev += 70 * SECOND_US << 10
        return Fetch(rev, words[-1].subject if self.rkey >= tid_at(10**15 * 3 // 2) else "")


class Ledger:
    """What was told about one record, and the like that is left by the rule."""

    __slots__ = ("fetched", "found", "rkey", "statements", "words")

    def __init__(self, rkey: int) -> None:
        self.rkey = rkey
        self.words: dict[tuple[int, str], int] = {}  # (rev, subject): the latest time it was seen
        self.fetched: set[tuple[int, str]] = set()
        self.statements: list[int] = []  # revs
        self.found = ""

    def add(self, telling: Telling) -> None:
        """Take a telling."""
        for word in telling.words:
            seen_us = word.seen_us + telling.skew_us
            if word.operation == "deleted":
                self.statements.append(tid_at(seen_us + SKEW_US))
            elif word.operation != "active":
                told = word.rev, word.subject
                self.words[told] = max(self.words.get(told, 0), seen_us)
        if telling.fetch is not None and self.rkey >= tid_at(10**15 * 3 // 2):
            self.statements.append(telling.fetch.rev)
            if telling.fetch.subject:
                told = telling.fetch
                self.words.setdefault((told.rev, told.subject), 0)
        self.found = self.last()[1]

    def last(self) -> tuple[int, str]:
        """Return the rev and the subject of the last word; subject '' when there is no like."""
        void = max(self.statements, default=0)
        valid = [(rev, seen_us, subject) for (rev, subject), seen_us in self.words.items() if rev >= void]
        rev, _, subject = max(valid, default=(0, 0, ""))
        return rev, subject


def sequences(longest: int) -> Iterator[tuple[str, ...]]:
    """Yield every legal order of operations up to a length."""

    def grow(done: tuple[str, ...], state: str) -> Iterator[tuple[str, ...]]:
        if done:
            yield done
        if len(done) < longest:
            for operation in AFTER[state]:
                if not done and operation == "C b":
                    continue  # the same by another name
                after = {"account deleted": "deleted", "account back": ""}.get(operation)
                last = operation.split("+")[-1]
                yield from grow((*done, operation), last[2:] if after is None else after)

    return grow((), "")


def all_histories(draws: int, seed: int, longest: int = 5) -> Iterator[RecordHistory]:
    """Yield every order of operations with every kind of key and every way of telling again.

    Up to two operations: with all gaps, starts and missed words. Longer ones: with ``draws`` of these each.
    """
    choose, number = random.Random(seed), 0
    for operations in sequences(longest):
        commits = len(operations)
        for key_kind, telling in product(KEYS_US, TELLINGS):
            if commits <= 2:
                chosen: Iterable[tuple[tuple[int, ...], int, int]] = product(
                    product(GAPS_US, repeat=commits - 1), STARTS_US, range(1 << commits)
                )
            else:
                chosen = (
                    (
                        tuple(choose.choice(GAPS_US) for _ in range(commits - 1)),
                        choose.choice(STARTS_US),
                        choose.randrange(1 << commits),
                    )
                    for _ in range(draws)
                )
            for gaps_us, start_us, missing in chosen:
                number += 1
                history = RecordHistory(number, operations, gaps_us, start_us, key_kind, frozenset(), telling)
                history.missed = frozenset(
                    place for place, word in enumerate(history.words) if missing >> word.commit & 1
                )
                yield history
