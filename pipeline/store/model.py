"""The numbers that stand for words in landing.sqlite, and the days its likes are kept by.

Owns: post flags, account statuses, levels and causes of what is withheld, marks of like records, the day of a time and
the day of a record key.
sql/landing/0001_schema.sql and 0002_like_words.sql refer here.
"""

from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
HOUR_US = 3_600_000_000
# A day is closed, and may move to the lake, once the stream is this far past its end: streams keep order
# per actor only, and another host's clock may differ by seconds.
CLOSE_GRACE_US = HOUR_US
# Posts are kept this long: as long as they may be candidates.
POST_DAYS = 14


class PostFlag(IntFlag):
    """What ranking needs to know of a post beyond its times and languages."""

    REPLY = 1
    ADULT = 2  # self-labelled porn, sexual, nudity or graphic-media
    HIDE = 4  # self-labelled !hide or !no-promote: in no list
    IMAGES = 8
    VIDEO = 16
    EXTERNAL = 32  # a link card
    QUOTE = 64
    SIGNED_IN = 128  # self-labelled !no-unauthenticated: not for anonymous viewers
    BLOCKED = (
        256  # a rule of the operator about texts is about it: in no list, unless they allow it or its author
    )


class AccountStatus(IntEnum):
    """Whether an account's likes and posts count; anything but ACTIVE hides them."""

    ACTIVE = 0
    DEACTIVATED = 1
    TAKENDOWN = 2
    SUSPENDED = 3
    DELETED = 4
    INACTIVE = 5  # not active, for a reason the stream does not name


class WithheldFrom(IntEnum):
    """From whom a post is withheld. Each level withholds it from all that the level below does."""

    NOBODY = 0
    ANONYMOUS = 1  # who is not signed in, and whoever gets the same lists as they do
    POPULAR = 2  # and in a viewer's own list from the places of what is popular
    EVERYBODY = 3


class WithheldBy(IntEnum):
    """Who wants a post to be withheld. Of several the highest level counts; the operator may overrule labelers."""

    LABELER = 1
    AUTHOR = 2  # self-labels of the author's profile record


class WordMark(IntFlag):
    """What is known of a like record beyond its last word."""

    AGAIN = 1  # more than one word was reported about it, or the first one was an update
    FETCHED = 2  # the last word is not of a stream: the repository of its owner lists it


# Keys of earlier days are no dates: Bluesky's first likes are younger. They share a day of their own with keys that
# are no TIDs.
FIRST_KEY_DAY = 19_358  # 2023-01-01
NAMED_DAY = -1
# A like whose rev was made within this time after its key is an ordinary one: the key stands for the rev. In the likes
# recorded in November 2026 the two were 3 to 17 milliseconds apart.
ORDINARY_US = 1_000_000


def day_of_key(rkey: int) -> int:
    """Return the day that a record's words belong to. The key alone decides, so that they all meet there."""
    day = (rkey >> 10) // DAY_US
    return day if day >= FIRST_KEY_DAY else NAMED_DAY


def keys_of_day(day: int) -> tuple[int, int]:
    """Return the keys that belong to a day, as the first of them and the first after them."""
    if day == NAMED_DAY:
        return -(1 << 63), FIRST_KEY_DAY * DAY_US << 10
    return day * DAY_US << 10, (day + 1) * DAY_US << 10


def day_of(time_us: int) -> int:
    """Return the UTC day of a time, in days since 1970."""
    return time_us // DAY_US


def utc(time_us: int) -> str:
    """Return a time as text, to the second, for logs and pages."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def time_us_of(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970, exactly (a float's seconds are not)."""
    return (moment - _EPOCH) // _MICROSECOND


def first_open_day(low_us: int) -> int:
    """Return the first day that is not closed when the low watermark has come this far."""
    return day_of(low_us - CLOSE_GRACE_US)
