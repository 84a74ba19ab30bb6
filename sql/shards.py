"""Which viewers belong to which serving node: buckets by the hash of a DID, and shards of buckets.

Owns: the hash, which batch, web app and proxy must compute alike (``deploy/haproxy.cfg`` has it as ``crc32,mod(256)``).
Leaves to others: what is kept by bucket.

A part of the lists names buckets, so it fits any number of shards up to ``BUCKETS``: when nodes are added, nothing is
written anew.
"""

import zlib
from dataclasses import dataclass

BUCKETS = 256


def bucket_of(did: str) -> int:
    """Return the bucket of a viewer."""
    return zlib.crc32(did.encode("utf-8", "surrogatepass")) % BUCKETS


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` shards, counted from 1: every ``count``-th bucket."""

    number: int
    count: int

    @classmethod
    def from_text(cls, text: str) -> "Shard":
        """Return the shard that N/COUNT names; ValueError for any other text."""
        number, slash, count = text.partition("/")
        if slash and number.isascii() and count.isascii() and number.isdecimal() and count.isdecimal():
            shard = cls(int(number), int(count))
            if 1 <= shard.number <= shard.count <= BUCKETS:
                return shard
        raise ValueError(f"expected N/COUNT, such as 1/2, with at most {BUCKETS} shards")

    def has(self, bucket: int) -> bool:
        """Tell whether a bucket is in it."""
        return bucket % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
