"""Random histories of an archive, and what is true of the likes at their end, in plain Python.

A history is events in the order of the archive: likes, unlikes, records that say something else later,
re-likes under the same key, events delivered twice, keys that are no TID or of the future, accounts deleted,
repositories read anew (all of an actor's likes again, under old keys), other collections and rubbish.
"""

import random
from dataclasses import dataclass, field

from archive_server import CREATE, LIKE, UPDATE, Event, account, like, sync, unlike

from pipeline.identifiers import rkey_to_int, tid_at, tid_from_int, tid_time_us
from pipeline.store.model import DAY_US

POST = "app.bsky.feed.post"
Record = tuple[str, int, str, int]  # liker, rkey, author, rkey of the post


def did(name: str) -> str:
    """Return a did:plc for a name of at most 24 letters and digits 2 to 7."""
    return "did:plc:" + name.rjust(24, "a")


@dataclass
class History:
    """Events so far, and the like records that exist after them, with the time each counts as."""

    first_day: int
    seed: int
    events: list[Event] = field(default_factory=list)
    records: dict[tuple[str, int], tuple[str, int, int]] = field(
        default_factory=dict
    )  # author, post, seen_us

    def __post_init__(self) -> None:
        self._choose = random.Random(self.seed)
        self._used: list[tuple[str, str]] = []
        self._number = 0  # of the last event

    def expected(self, first_day: int, until_day: int) -> set[tuple[int, Record]]:
        """Return (day, record) of every like that exists and counts on one of the days [first, until)."""
        return {
            (seen_us // DAY_US, (liker, rkey, author, post))
            for (liker, rkey), (author, post, seen_us) in self.records.items()
            if first_day <= seen_us // DAY_US < until_day
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
            self.events.append(unlike(seq, now_us, liker, rkey))
            self.records.pop((liker, _number(rkey)), None)
        elif what < 0.86:
            liker, rkey = self._choose.choice(self._used)
            self._like(seq, now_us, liker, rkey, UPDATE)
        elif what < 0.865:
            self.events.append(account(seq, now_us, liker, active=False, status="deleted"))
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
        uri = f"at://{author}/{POST}/{tid_from_int(post)}"
        self.events.append(like(seq, now_us, liker, rkey, uri, kind))
        self._used.append((liker, rkey))
        number = _number(rkey)
        self.records[liker, number] = (author, post, _seen_us(number, now_us))
        if self._choose.random() < 0.05:
            self._number += 1
            self.events.append(like(self._number, now_us, liker, rkey, uri, kind))  # delivered twice

    def _read_anew(self, seq: int, now_us: int, liker: str) -> None:
        """The archive reads a repository: a sync, then all that is in it, as of now."""
        self.events.append(sync(seq, now_us, liker))
        for (owner, number), (author, post, _) in list(self.records.items()):
            rkey = next(text for who, text in self._used if who == owner and _number(text) == number)
            if owner == liker:
                self._number += 1
                uri = f"at://{author}/{POST}/{tid_from_int(post)}"
                self.events.append(like(self._number, now_us, liker, rkey, uri))
                self.records[owner, number] = (author, post, _seen_us(number, now_us))

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


def _seen_us(rkey: int, witnessed_us: int) -> int:
    claimed = tid_time_us(rkey) if rkey >= 0 else 0
    return claimed if 0 < claimed < witnessed_us - DAY_US else witnessed_us
