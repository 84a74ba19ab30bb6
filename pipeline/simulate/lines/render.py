"""Events as lines of Jetstream v1, byte for byte as the real one sends them.

Owns: the JSON of every kind of event. Leaves to others: which events there are (``slot_maker``), how lines are sent
(``listener``). Nine tenths of the lines have fields of fixed width and are filled as matrices. Posts and oddities are
written one by one.
"""

from collections.abc import Callable

import numpy as np

from pipeline.identifiers import tid_from_int
from pipeline.simulate.lines.render_odd import (
    account_line,
    bad_line,
    identity_line,
    odd_like_line,
    profile_line,
)
from pipeline.simulate.lines.render_post import PostWriter
from pipeline.simulate.randomness import Bytes, Ints, Words, fraction, hashed
from pipeline.simulate.text_columns import (
    CID_WIDTH,
    DID_WIDTH,
    ISO_WIDTH,
    TID_WIDTH,
    TIME_WIDTH,
    FixedLine,
    cid_matrix,
    did_matrix,
    iso_matrix,
    texts,
    tid_matrix,
    time_matrix,
)
from pipeline.simulate.world.event_columns import Events, Kind, Subject, Trait
from pipeline.simulate.world.names import display_name
from pipeline.simulate.world.people import People
from pipeline.simulate.world.posts import PostTable

_HEAD = '{"did":"<did>","time_us":<time>,"kind":"commit","commit":{"rev":"<rev>","operation":"'
_KEY = '","rkey":"<rkey>"'
_CREATED = ',"record":{"$type":"<$type>","createdAt":"<created>","subject":'
_STRONG = '{"cid":"<subject_cid>","uri":"at://<subject_did>/app.bsky.feed.post/<subject_rkey>"}'
_VIA = ',"via":{"cid":"<via_cid>","uri":"at://<via_did>/app.bsky.feed.repost/<via_rkey>"}'
_WIDTHS = {"did": DID_WIDTH, "cid": CID_WIDTH, "rkey": TID_WIDTH, "rev": TID_WIDTH, "time": TIME_WIDTH,
           "created": ISO_WIDTH}  # fmt: skip


def _made(collection: str, subject: str, operation: str = "create") -> FixedLine:
    created = _CREATED.replace("<$type>", collection)
    text = f'{_HEAD}{operation}","collection":"{collection}{_KEY}{created}{subject}}},"cid":"<cid>"}}}}'
    return FixedLine(text, _WIDTHS)


def _deleted(collection: str) -> FixedLine:
    return FixedLine(f'{_HEAD}delete","collection":"{collection}{_KEY}}}}}', _WIDTHS)


_LIKE = _made("app.bsky.feed.like", _STRONG)
_LIKE_VIA = _made("app.bsky.feed.like", _STRONG + _VIA)
_FIXED = {
    Kind.LIKE_UPDATE: _made("app.bsky.feed.like", _STRONG, "update"),
    Kind.UNLIKE: _deleted("app.bsky.feed.like"),
    Kind.UNPOST: _deleted("app.bsky.feed.post"),
    Kind.REPOST: _made("app.bsky.feed.repost", _STRONG),
    Kind.UNREPOST: _deleted("app.bsky.feed.repost"),
    Kind.FOLLOW: _made("app.bsky.graph.follow", '"<subject_did>"'),
    Kind.UNFOLLOW: _deleted("app.bsky.graph.follow"),
    Kind.BLOCK: _made("app.bsky.graph.block", '"<subject_did>"'),
}
_ABOUT_POST = {Kind.LIKE, Kind.LIKE_UPDATE, Kind.REPOST}
_ABOUT_PERSON = {Kind.FOLLOW, Kind.BLOCK}
_YEAR_US = 365 * 86_400_000_000
Columns = dict[str, Bytes]


def rkey_text(number: int) -> str:
    """Return the record key of an event's rkey number."""
    return tid_from_int(number) if number >= 0 else "like-" + tid_from_int(-number)


def rev_times(people: People, events: Events) -> Ints:
    """Return when each event's commit was made: it rises per person, and the rows of one commit share it."""
    times: Ints = events.time_us.copy()
    same = np.flatnonzero(events.traits & Trait.SAME_COMMIT)
    times[same] = times[same - 1]
    result: Ints = times - people.lag_us[events.actor] // 3
    return result


class Renderer:
    """Writes the events of one world; ``posts`` writes those of posts."""

    def __init__(self, seed: int, people: People, table: PostTable) -> None:
        self._seed, self._people, self._table = seed, people, table
        self.posts = PostWriter(seed, people, table)

    def lines(self, events: Events) -> list[bytes]:
        """Return one line for each event, in order, without line ends."""
        result: list[bytes] = [b""] * len(events)
        marks = hashed(self._seed, 30, events.time_us)  # times are unique, so each event has its own number
        revs = tid_matrix(rev_times(self._people, events) << 10 | (marks & np.uint64(31)).astype(np.int64))
        # The rows of one commit share the whole rev, its clock included.
        same = np.flatnonzero(events.traits & Trait.SAME_COMMIT)
        revs[same] = revs[same - 1]
        for kind in np.unique(events.kind):
            rows = np.flatnonzero(events.kind == kind)
            for part, write in self._writers(Kind(int(kind)), events, rows):
                if len(part):
                    made = write(events.take(part), revs[part], marks[part])
                    for row, line in zip(part.tolist(), made, strict=True):
                        result[row] = line
        return result

    def _writers(
        self, kind: Kind, events: Events, rows: Ints
    ) -> list[tuple[Ints, Callable[[Events, Bytes, Words], list[bytes]]]]:
        odd_key = events.rkey[rows] < 0
        if kind is Kind.LIKE:
            odd = odd_key | (events.target[rows] < 0)
            via = (events.traits[rows] & Trait.VIA) != 0
            return [
                (rows[~odd & ~via], lambda *row: self._fixed(_LIKE, kind, *row)),
                (rows[~odd & via], lambda *row: self._fixed(_LIKE_VIA, kind, *row)),
                (rows[odd], self._odd_likes),
            ]
        if kind in _FIXED:
            return [
                (rows[~odd_key], lambda *row: self._fixed(_FIXED[kind], kind, *row)),
                (rows[odd_key], self._odd_likes),
            ]
        return [(rows, self.posts.lines if kind is Kind.POST else self._others)]

    def _columns(self, events: Events, revs: Bytes, marks: Words) -> Columns:
        claimed = events.time_us - self._people.lag_us[events.actor]
        forged = np.flatnonzero(events.traits & Trait.FORGED)
        years = np.where(marks[forged] & np.uint64(1), 1, -1) * _YEAR_US
        claimed[forged] += years + (fraction(marks[forged]) * _YEAR_US).astype(np.int64)
        return {
            "did": self._people.did_bytes[events.actor],
            "time": time_matrix(events.time_us),
            "rev": revs,
            "created": iso_matrix(claimed),
            "cid": cid_matrix(marks),
        }

    def _fixed(self, line: FixedLine, kind: Kind, events: Events, revs: Bytes, marks: Words) -> list[bytes]:
        columns = self._columns(events, revs, marks)
        columns["rkey"] = tid_matrix(events.rkey)
        if kind in _ABOUT_POST:
            columns |= self._post_columns(events.target)
        elif kind in _ABOUT_PERSON:
            columns["subject_did"] = self._people.did_bytes[events.target]
        if line is _LIKE_VIA:
            via = hashed(marks, 1)
            reposters = (via % np.uint64(self._people.count)).astype(np.int64)
            ages = (fraction(via) * 7.2e9).astype(np.int64)
            columns["via_cid"] = cid_matrix(via)
            columns["via_did"] = self._people.did_bytes[reposters]
            columns["via_rkey"] = tid_matrix((events.time_us - ages) << 10)
        return line.lines(len(events), columns)

    def _post_columns(self, posts: Ints) -> Columns:
        return {
            "subject_cid": self._table.cids(posts),
            "subject_did": self._people.did_bytes[self._table.of("author", posts)],
            "subject_rkey": tid_matrix(self._table.of("rkey", posts)),
        }

    def _odd_likes(self, events: Events, revs: Bytes, marks: Words) -> list[bytes]:
        columns = {name: texts(matrix) for name, matrix in self._columns(events, revs, marks).items()}
        known = np.maximum(events.target, self._table.base)
        subjects = [texts(matrix) for matrix in self._post_columns(known).values()]
        lines = []
        for row in range(len(events)):
            target = int(events.target[row])
            if target >= 0:
                cid, did, rkey = (column[row] for column in subjects)
                uri = f"at://{did}/app.bsky.feed.post/{rkey}"
            else:
                uri = self.subject_uri(target)
                cid = columns["cid"][row]
            fields = {name: column[row] for name, column in columns.items()}
            key = rkey_text(int(events.rkey[row]))
            lines.append(odd_like_line(Kind(int(events.kind[row])), fields, key, cid, uri))
        return lines

    def subject_uri(self, target: int) -> str:
        """Return the at-uri of a subject that is not a post of this world (target below 0)."""
        number, sort = divmod(-1 - target, len(Subject))
        words = hashed(self._seed, 31, np.array([number]))
        did = texts(did_matrix(words))[0]
        rkey = texts(
            tid_matrix((1_700_000_000_000_000 + (words >> np.uint64(18)).astype(np.int64) % 10**13) << 10)
        )[0]
        collection = {
            Subject.UNKNOWN_POST: f"app.bsky.feed.post/{rkey}",
            Subject.FEED: f"app.bsky.feed.generator/feed-{number}",
            Subject.LIST: f"app.bsky.graph.list/{rkey}",
            Subject.LABELER: "app.bsky.labeler.service/self",
        }
        return f"at://{did}/{collection[Subject(sort)]}"

    def _others(self, events: Events, revs: Bytes, marks: Words) -> list[bytes]:
        columns = {name: texts(matrix) for name, matrix in self._columns(events, revs, marks).items()}
        lines = []
        for row in range(len(events)):
            fields = {name: column[row] for name, column in columns.items()}
            kind, number = Kind(int(events.kind[row])), int(events.actor[row])
            key = rkey_text(int(events.rkey[row]))
            sequence = int(events.time_us[row]) // 3_000 - 500_000_000_000
            if kind is Kind.IDENTITY:
                lines.append(identity_line(fields, self._people.handle(number), sequence))
            elif kind in {Kind.ACTIVE, Kind.DEACTIVATED, Kind.DELETED}:
                lines.append(account_line(fields, kind, sequence))
            elif kind is Kind.PROFILE:
                lines.append(
                    profile_line(
                        fields,
                        display_name(number),
                        self._people.about(number),
                        self._people.self_labels(number),
                    )
                )
            else:
                lines.append(bad_line(fields, kind, key, int(events.target[row])))
        return lines
