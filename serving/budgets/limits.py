"""Every limit of the web app, in one place, each with its arithmetic.

Owns: the numbers. Leaves to others: keeping them (``allowances``, ``viewer_memory``, ``activity_queue``,
``activity_retention``, ``resolver``, ``used_tokens``), and who is known (``viewer_classes``).

A DID costs nothing, so there are two classes, each with its own part of everything: the known (``viewer_classes``), and
strangers. Nothing that strangers do takes from the known's part. Within a class, whoever takes most is the first
to be refused or to lose something. A taker is a DID, or for did:web the registrable domain, since one domain has as
many names as its owner likes.

Memory of one worker, at most; the unit allows 2 GB for all (``deploy/systemd/foryou-serve.service``):

    viewers       192 MB known + 48 MB strangers         240 MB
    queue          64 MB known + 16 MB strangers          80 MB
    used tokens   200,000 × 250 bytes                     50 MB
    keys          125,000 + 10,000 × 450 bytes            60 MB
    failures       20,000 × 600 bytes                     12 MB
    allowances     72,000 takers × 200 bytes              15 MB
    bodies          1,250 connections × 64 kB             80 MB
    program       Python, code, 150 threads, SQLite      120 MB
                                                         657 MB

Disk, at most, for all workers together, apart from the lake:

    interactions   10 M known + 0.5 M strangers, × 350 bytes      3.7 GB
    impressions   100 M known +   4 M strangers, ×  75 bytes      7.8 GB
    visits          2 M known + 0.2 M strangers, × 150 bytes      0.3 GB
    keys.sqlite   0.5 M × 150 bytes                               0.1 GB
    settings      0.5 M known + 0.02 M strangers, × 500 bytes     0.3 GB
    sessions      0.1 M × 250 bytes, 6,000 sign-ins × 1 kB       0.03 GB
                                                                 12.2 GB
                                             of it strangers      0.5 GB

(Bytes a row were measured with indexes, counts and the write-ahead log; the rest is what Python objects take.)
"""

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class ByClass(NamedTuple, Generic[T]):
    """A value for each class."""

    known: T
    strangers: T

    def of(self, known: bool) -> T:
        """Return the value of one class."""
        return self.known if known else self.strangers


class Bounds(NamedTuple):
    """How much one viewer, all viewers of a did:web domain, and a whole class may take."""

    viewer: int
    domain: int
    total: int


MEGABYTE = 1 << 20

# Who is known: an actor with a list, whom the stream or the archive first named so many days ago.
KNOWN_AFTER_DAYS = 2

# Memory of what viewers did, in bytes. One viewer takes 34 kB at most: 600 posts shown at 8 bytes, 600 seen and 1,000
# hidden at 4, 200 authors and 100 answers at 16, 400 events of 32 that wait for the next page, an eighth in reserve,
# and 2 kB of objects. Most take 5 to 10 kB, so 192 MB are 20,000 viewers and more.
VIEWER_BYTES = ByClass(192 * MEGABYTE, 48 * MEGABYTE)

# Events that wait for the disk, in bytes. An interaction counts 500 bytes, a page 250 a post: 64 MB are 130,000
# interactions. The disk takes 20,000 a second, so a full queue is one of a disk that does not write.
QUEUE_BYTES = ByClass(
    Bounds(4 * MEGABYTE, 16 * MEGABYTE, 64 * MEGABYTE), Bounds(MEGABYTE, 2 * MEGABYTE, 16 * MEGABYTE)
)

# Interactions a minute and worker. Somebody who scrolls sees 300 posts in a minute. Strangers' total: 6,000 × 60
# minutes × 350 bytes = 126 MB an hour, of which 0.5 M rows = 175 MB are kept.
INTERACTIONS_A_MINUTE = ByClass(Bounds(3_000, 12_000, 60_000), Bounds(1_000, 1_000, 6_000))

# Posts on pages that are written down as impressions, an hour and worker. Pages beyond are served all the same. 6,000
# posts are 200 pages of 30. A stranger's 1,500 × 75 bytes = 112 kB an hour, all strangers' 22 MB.
IMPRESSIONS_AN_HOUR = ByClass(Bounds(6_000, 60_000, 10_000_000), Bounds(1_500, 6_000, 300_000))

# Visits a minute and worker that are written down. Each is one row, and makes the batch fetch a repository.
VISITS_A_MINUTE = ByClass(Bounds(60, 600, 60_000), Bounds(20, 60, 6_000))

# Rows kept in activity.sqlite, by all workers. Of a viewer the newest interactions stay; of a class the biggest
# takers lose their oldest rows first.
INTERACTIONS_KEPT = ByClass(Bounds(10_000, 100_000, 10_000_000), Bounds(1_000, 5_000, 500_000))
IMPRESSIONS_KEPT = ByClass(100_000_000, 4_000_000)
VISITS_KEPT = ByClass(2_000_000, 200_000)
KEYS_KEPT = 500_000

# Tokens for interactions that were taken and have not expired. One that finds no room is refused, none is forgotten. A
# token is valid for a minute, at most for an hour: a viewer's 600 are ten a minute over an hour.
USED_TOKENS = ByClass(Bounds(600, 6_000, 100_000), Bounds(300, 600, 100_000))

# Keys in memory, of the directory and of did:web hosts. A key takes 450 bytes.
PLC_KEYS = ByClass(100_000, 20_000)
WEB_KEYS = ByClass(5_000, 5_000)
FAILURES_MAX = 20_000

# Requests that wait for a DID document: all of a kind, and of them those that strangers may hold. A waiting thread
# costs little, and thousands of newcomers may come within a minute. At 30 ms a fetch, 24 are 800 newcomers a second.
PLC_SLOTS = ByClass(128, 96)
PLC_FETCHING = ByClass(24, 18)
WEB_SLOTS = ByClass(16, 12)
DOMAIN_SLOTS = 3  # of those for did:web, the ones that wait for one registrable domain
LOOKUPS = ByClass(20, 16)  # name lookups under way: a thread each, which can't be interrupted
DOMAIN_LOOKUPS = 2

# Questions to the directory a minute. A stranger's lookup that ends in "no such DID" is charged to a bucket of its
# own. When that is empty, strangers' DIDs that are not in memory are looked up one a second, until the next minute.
# A key is read again when a signature does not fit; that is charged only when the key turns out to be the same.
ABSENT_A_MINUTE = 300
ABSENT_TRICKLE_SECONDS = 1.0
SAME_KEYS_A_MINUTE = ByClass(600, 60)

# Signing in. Whoever signs in and picks posts to begin with takes a number in landing.sqlite, 100 bytes (picks are
# interactions, and kept as those are). Who somebody is turns out at its end, so there is one class, and takers are
# networks of clients. A sign-in has two requests, which wait for somebody's server: 300 a minute and worker, for ten
# minutes, are 3,000 rows.
SIGN_INS_A_MINUTE = ByClass(Bounds(12, 12, 600), Bounds(12, 12, 600))
SIGN_IN_SLOTS = ByClass(16, 16)
SESSIONS_KEPT = 100_000
SESSIONS_OF_VIEWER = 10

# Viewers who set something for themselves. A row has at most a hundred DIDs, 5 kB, and most have none.
SETTINGS_KEPT = ByClass(Bounds(1, 1_000, 500_000), Bounds(1, 20, 20_000))
