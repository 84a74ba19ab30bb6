"""Random histories of an archive, and what is true of the likes at their end, in plain Python.

A history is events in the order of the archive: likes, unlikes, records that say something else later,
re-likes under the same key, events delivered twice, keys that are no TID or of the future, accounts deleted,
repositories read anew (all of an actor's likes again, under old keys), other collections and rubbish.
"""

import random
from dataclasses import dataclass, field
from typing import NamedTuple

from archive_server import CREATE, LIKE, RESYNC, UPDATE, Event, account, like, sync, unlike

from pipeline.clock import SKEW_US
from pipeline.identifiers import rkey_to_int, tid_at, tid_from_int
from pipeline.store.model import DAY_US, NAMED_DAY, day_of_key

POST = "app.bsky.feed.post"
Record = tuple[str, int, str, int]  # liker, rkey, author, rkey of the post


def did(name: str) -> str:
    """Return a did:plc for a name of at most 24 letters and digits 2 to 7."""
    return "did:plc:" + name.rjust(24, "a")


class Word(NamedTuple):
    """What a stream says; the operation on a record, or an account's status."""

    liker: str
    rkey: str
    operation: str
    subject: tuple[str, int]
    seen_us: int
    rev: int


@dataclass
class History:
    """Events so far, and the like records that exist after them, with the time of the last word about each.

    With ``unseen``, a repository that is read anew has lost a record of which no stream told.
    """

    first_day: int
    seed: int
    unseen: bool = True
    events: list[Event] = field(default_factory=list)
    told: list[Word] = field(default_factory=list)
    records: dict[tuple[str, int], tuple[str, int, int]] = field(
        default_factory=dict
    )  # author, post, when the last word came

    def __post_init__(self) -> None:
        self._choose = random.Random(self.seed)
        self._used: list[tuple[str, str]] = []
        self._void: dict[str, int] = {}  # words up to this rev are void: the account was deleted
        self._number = 0  # of the last event
        self._last_us = 0  # of the last rev

    def exist(self, first_day: int = 0, since_us: int = 0) -> set[Record]:
        """Return the likes that exist, of keys from a day on or that name none, if told of since a time."""
        return {
            (liker, rkey, author, post)
            for (liker, rkey), (author, post, told_us) in self.records.items()
            if told_us >= since_us and (day_of_key(rkey) >= first_day or day_of_key(rkey) == NAMED_DAY)
        }

    def grow(self, days: int, a_day: int) -> "History":
        """Add days of events; return the history."""
        for day in range(self.first_day, self.first_day + days):
            # More happens around midnight than at any other time.
            shares = [
                self._choose.choice([self._choose.random(), self._choose.random() ** 20])
                for _ in range(a_day)
            ]
            for share in sorted(shares):
                self._happen(day * DAY_US + int(share * (DAY_US - 1)))
        return self

    def _rev(self, now_us: int) -> int:
        self._last_us = max(now_us, self._last_us + 1)
        return tid_at(self._last_us)

    def _say(
        self,
        now_us: int,
        rev: int,
        liker: str,
        operation: str,
        rkey: str = "",
        subject: tuple[str, int] = ("", 0),
    ) -> None:
        self.told.append(Word(liker, rkey, operation, subject, now_us, rev))

    def _happen(self, now_us: int) -> None:
        self._number += 1
        liker = did(self._choose.choice("bcdefghijklm"))
        seq = self._number
        what = self._choose.random()
        if what < 0.56 or not self._used:
            rkey = self._rkey(now_us)
            self._like(seq, now_us, liker, rkey, UPDATE if (liker, _number(rkey)) in self.records else CREATE)
        elif what < 0.78:
            liker, rkey = self._choose.choice(self._used)
            rev = self._rev(now_us)
            self.events.append(unlike(seq, now_us, liker, rkey, rev))
            self._say(now_us, rev, liker, "delete", rkey)
            self.records.pop((liker, _number(rkey)), None)
        elif what < 0.86:
            liker, rkey = self._choose.choice(self._used)
            self._like(seq, now_us, liker, rkey, UPDATE)
        elif what < 0.865:
            self.events.append(account(seq, now_us, liker, active=False, status="deleted"))
            self._say(now_us, 0, liker, "deleted")
            self._void[liker] = tid_at(now_us + SKEW_US)
            self._forget(liker)
        elif what < 0.89:
            self.events.append(account(seq, now_us, liker, active=False, status="deactivated"))
        elif what < 0.895:
            self._read_anew(seq, now_us, liker)
        elif what < 0.95:
            self.events.append(Event(seq, now_us, CREATE, liker, POST, tid_from_int(tid_at(now_us)), b"\xa0"))
        else:
            self._rubbish(seq, now_us, liker)

    def _rkey(self, now_us: int) -> str:
        chosen = self._choose.random()
        clock = self._choose.randrange(1024)
        if chosen < 0.7:
            return tid_from_int(tid_at(now_us - self._choose.randrange(60_000_000), clock))
        if chosen < 0.8:  # made offline, or backdated
            return tid_from_int(tid_at(now_us - self._choose.randrange(4 * DAY_US), clock))
        if chosen < 0.92:  # a clock that is ahead
            return tid_from_int(tid_at(now_us + self._choose.randrange(3 * DAY_US), clock))
        return f"key-{self._choose.randrange(40)}"

    def _like(self, seq: int, now_us: int, liker: str, rkey: str, kind: int) -> None:
        author, post = did(self._choose.choice("nopqr")), tid_at(now_us - self._choose.randrange(2 * DAY_US))
        uri, rev = f"at://{author}/{POST}/{tid_from_int(post)}", self._rev(now_us)
        self.events.append(like(seq, now_us, liker, rkey, uri, kind, rev))
        self._say(now_us, rev, liker, "create" if kind == CREATE else "update", rkey, (author, post))
        self._used.append((liker, rkey))
        number = _number(rkey)
        self.records.pop((liker, number), None)
        if rev >= self._void.get(liker, 0):
            self.records[liker, number] = (author, post, now_us)
        if self._choose.random() < 0.05:
            self._number += 1
            self.events.append(like(self._number, now_us, liker, rkey, uri, kind, rev))  # delivered twice

    def _read_anew(self, seq: int, now_us: int, liker: str) -> None:
        """The archive reads a repository: a sync, then all that is in it, as of now."""
        rev = self._rev(now_us)
        if rev < self._void.get(liker, 0):
            return
        self.events.append(sync(seq, now_us, liker, rev))
        owned = [key for key in self.records if key[0] == liker]
        if self.unseen and owned:
            del self.records[owned.pop()]
        for owner, number in owned:
            author, post, told_us = self.records[owner, number]
            rkey = next(text for who, text in self._used if who == owner and _number(text) == number)
            self._number += 1
            uri = f"at://{author}/{POST}/{tid_from_int(post)}"
            self.events.append(like(self._number, now_us, liker, rkey, uri, RESYNC, rev))
            self.records[owner, number] = (author, post, now_us if self.unseen else told_us)

    def _forget(self, liker: str) -> None:
        self.records = {key: value for key, value in self.records.items() if key[0] != liker}

    def _rubbish(self, seq: int, now_us: int, liker: str) -> None:
        rkey = tid_from_int(tid_at(now_us))
        self.events.append(
            self._choose.choice(
                [
                    Event(seq, now_us, CREATE, liker, LIKE, rkey, b"\xff\xff"),
                    Event(seq, now_us, CREATE, liker, LIKE, rkey, b"\xa0"),
                    Event(seq, now_us, CREATE, "did:no", LIKE, rkey, b"\xa0"),
                    Event(seq, now_us, CREATE, liker, LIKE, "no/key", b"\xa0"),
                    Event(seq, now_us, 9, liker, LIKE, rkey, b"\xa0"),
                    like(seq, now_us, liker, rkey, f"at://{liker}/app.bsky.feed.generator/x"),
                ]
            )
        )


def _number(rkey: str) -> int:
    number = rkey_to_int(rkey)
    assert number is not None
    return number
