"""One batch of decoded events: what every wire decodes to and what the landing store appends.

Owns: the shape of an event, and counting. Leaves to others: the bytes (``ingest.jetstream``) and the rows
(``landing``). Plain tuples in lists, since a busy day is 50 million of them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.store.model import AccountStatus


class Like(NamedTuple):
    """A like record was created; rkeys as ``identifiers.rkey_to_int`` numbers them."""

    liker: str
    rkey: int
    author: str
    post_rkey: int
    seen_us: int


class Unlike(NamedTuple):
    """A like record is gone, and whatever of it was seen at or before this time."""

    liker: str
    rkey: int
    seen_us: int


class Post(NamedTuple):
    """A post was created or changed. created_us is min(the client's claim, seen_us)."""

    author: str
    rkey: int
    created_us: int
    seen_us: int
    flags: int
    langs: str


class PostDeletion(NamedTuple):
    """A post record is gone."""

    author: str
    rkey: int
    seen_us: int


class AccountChange(NamedTuple):
    """An account's status, as its host told it."""

    did: str
    status: AccountStatus
    seen_us: int


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a stream stands: value in the wire's own space, event_us the time of the event there."""

    host: str
    wire: str
    value: int
    event_us: int


@dataclass(slots=True)
class EventBatch:
    """Decoded events in no particular order, with the position after them and what was counted."""

    likes: list[Like] = field(default_factory=list)
    unlikes: list[Unlike] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    post_deletions: list[PostDeletion] = field(default_factory=list)
    accounts: list[AccountChange] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    value: int = 0  # cursor after the last message, in the wire's space; 0 when none had one
    event_us: int = 0  # stream time of that message
    newest_us: int = 0  # newest stream time of all
    cursor_is_void: bool = False  # the host does not know the cursor it was asked with: begin anew

    def event(self, name: str) -> None:
        """Count an event that was kept."""
        self.counts["event", name] += 1

    def drop(self, reason: str) -> None:
        """Count something malformed or unwanted that was left out."""
        self.counts["drop", reason] += 1
