"""One batch of decoded events: what every wire decodes to, and what the landing store appends.

Owns: the shape of an event, and counting. Leaves to others: the bytes (``ingest``) and the rows (``landing``). Events
are plain tuples in lists, since a busy day has 50 million of them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.store.model import AccountStatus


class Like(NamedTuple):
    """A like record was created or changed; rkeys as ``identifiers.rkey_to_int`` numbers them.

    rev is the number of the repository's revision. It grows with every commit and is the same from every host, so it
    decides which of two events about a record is later. seen_us is the clock of one host. marks: ``model.WordMark``.
    """

    liker: str
    rkey: int
    author: str
    post_rkey: int
    seen_us: int
    rev: int
    marks: int = 0


class Unlike(NamedTuple):
    """A like record is deleted at this rev: deleted, or changed into something that is not a like of a post."""

    liker: str
    rkey: int
    seen_us: int
    rev: int


class Post(NamedTuple):
    """A post was created or changed. created_us is min(the client's claim, seen_us)."""

    author: str
    rkey: int
    created_us: int
    seen_us: int
    flags: int
    langs: str
    rev: int


class PostDeletion(NamedTuple):
    """A post record was deleted, up to this rev."""

    author: str
    rkey: int
    seen_us: int
    rev: int


class ProfileWord(NamedTuple):
    """From whom an author withholds all their posts, as their profile record says at this rev: ``WithheldFrom``."""

    did: str
    level: int
    seen_us: int
    rev: int


class AccountChange(NamedTuple):
    """An account's status, as a host reported it.

    Of two on a stream the later to come counts, whatever their hosts' clocks say: a stream keeps the order of an
    account's events. What the account did up to seen_us is deleted when the status is DELETED.
    """

    did: str
    status: AccountStatus
    seen_us: int


class Gap(NamedTuple):
    """A stretch of the stream that the host could no longer send, in stream time."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a stream stands: value in the wire's own space, event_us the time of the event there.

    events_per_second is the pace of about the last ten minutes, in stream time; 0 when it is not known yet.
    """

    host: str
    wire: str
    value: int
    event_us: int
    events_per_second: float = 0.0


@dataclass(slots=True)
class EventBatch:
    """Decoded events in no particular order, the position after them, and counts."""

    likes: list[Like] = field(default_factory=list)
    unlikes: list[Unlike] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    post_deletions: list[PostDeletion] = field(default_factory=list)
    accounts: list[AccountChange] = field(default_factory=list)
    profiles: list[ProfileWord] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)  # DIDs whose documents changed
    resets: list[str] = field(default_factory=list)  # DIDs whose repositories were replaced
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    value: int = 0  # cursor after the last message, in the wire's space; 0 when none had one
    first_value: int = 0  # cursor of the first message that had one
    event_us: int = 0  # stream time there
    first_us: int = 0  # stream time of the first message that had one
    newest_us: int = 0  # how far the stream has come
    last_us: int = 0  # when the last message was seen, whether that is certain or not
    low_us: int = 0  # how far the stream has come for certain: what alone closes days
    messages: int = 0  # messages decoded, well-formed or not
    reached: int = 0  # those of them that had a cursor and a time
    gap: Gap | None = None  # what was missed before the first message
    # Whether the operator blocks a post for what its record says; ``blocking.text_rules`` knows.
    blocks: Callable[[Mapping[str, Any]], bool] | None = None
    cursor_is_void: bool = False  # the host does not know the cursor of the request: start without it

    def reach(self, first_value: int, value: int, seen_us: Sequence[int]) -> None:
        """Note the cursors of the first and last of some messages, and when each of them was seen."""
        if not self.reached:
            self.first_value, self.first_us = first_value, seen_us[0]
        self.value = value
        self.event_us = self.last_us = seen_us[-1]
        self.newest_us = max(self.newest_us, max(seen_us))
        self.reached += len(seen_us)

    def event(self, name: str) -> None:
        """Count an event that was kept."""
        self.counts["event", name] += 1

    def drop(self, reason: str) -> None:
        """Count something malformed or unwanted that was dropped."""
        self.counts["drop", reason] += 1
