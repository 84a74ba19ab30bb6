"""A small store that a test tells likes by name, and whose days it closes: real landing.sqlite, real files."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipeline.demo.stored_likes import like_records
from pipeline.identifiers import rkey_to_int, tid_at, tid_from_int
from pipeline.ingest.operations import add_account, add_like
from pipeline.lake.compact import compact
from pipeline.lake.merge import merge_day
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch
from pipeline.store.fetch_admission import HistoryLike, Statement
from pipeline.store.fetched_likes import DONE, HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US
from sql import places

FIRST_DAY = 20_400
FIRST_US = FIRST_DAY * DAY_US
RANKING = Ranking()
MOMENT_US = 10_000  # from a key to its revision


def did(name: str) -> str:
    """Return the DID of a name."""
    return f"did:plc:{name}"


def hour(hours: float) -> int:
    """Return a time so many hours after the first day began."""
    return FIRST_US + int(hours * HOUR_US)


def post(name: str) -> tuple[str, int]:
    """Return a post by its name: author and key."""
    return did(f"{name}-author"), tid_at(FIRST_US, sum(name.encode()) % 1024)


@dataclass
class SmallStore:
    """A data directory; every word is a commit of its own, seen when it happened unless ``told`` says more."""

    data_dir: Path
    keys: dict[tuple[str, str], str] = field(default_factory=dict)  # (liker, post): the last key

    def like(
        self, liker: str, name: str, at_us: int, *, key: str = "", operation: str = "create"
    ) -> "SmallStore":
        """Let somebody like a post, under a key of that time unless told another."""
        text = key or tid_from_int(tid_at(at_us - MOMENT_US, len(self.keys) % 1024))
        self.keys[liker, name] = text
        return self.word(liker, text, operation, name, at_us)

    def unlike(self, liker: str, name: str, at_us: int) -> "SmallStore":
        """Delete somebody's last like of a post."""
        return self.word(liker, self.keys[liker, name], "delete", "", at_us)

    def word(
        self, liker: str, key: str, operation: str, name: str, at_us: int, *, now_us: int = 0
    ) -> "SmallStore":
        """Tell one operation on a record; ``now_us`` is when the stream has come to, if that is later."""
        batch, subject = EventBatch(), post(name) if name else "like_of_no_post"
        add_like(did(liker), at_us, tid_from_int(tid_at(at_us)), key, operation, subject, batch)
        return self.append(batch, max(at_us, now_us))

    def delete_account(self, liker: str, at_us: int) -> "SmallStore":
        """Delete an account."""
        batch = EventBatch()
        add_account(did(liker), at_us, False, "deleted", batch)
        return self.append(batch, at_us)

    def append(self, batch: EventBatch, now_us: int) -> "SmallStore":
        """Commit a batch; the stream has come to a time."""
        landing = Landing(self.data_dir)
        batch.newest_us = batch.low_us = batch.last_us = batch.value = batch.event_us = now_us
        landing.append(batch, "one.example", "jetstream-v1")
        landing.close()
        return self

    def come_to(self, now_us: int) -> "SmallStore":
        """Let time pass."""
        return self.append(EventBatch(), now_us)

    def repository(self, viewer: str, rev_us: int, names: list[str]) -> "SmallStore":
        """Store what a viewer's repository lists, as it was at a revision."""
        store = HistoryStore(self.data_dir)
        likes = []
        for name in names:
            rkey = tid_number(self.keys[viewer, name])
            likes.append(HistoryLike(rkey, *post(name), rkey >> 10))
        store.intern(like.author for like in likes)
        statement = Statement(tid_at(rev_us), tid_at(FIRST_US - 30 * DAY_US))
        store.store_viewer(did(viewer), likes, rev_us, DONE, statement=statement)
        store.close()
        return self

    def compact(self) -> list[str]:
        """Run the job; return its steps."""
        return [step for step, _ in compact(self.data_dir, RANKING, 1)]

    def fold(self, day: int, *, look: bool = False) -> list[str]:
        """Fold one day, counted from the first."""
        with duckdb.connect(config={"threads": 1}) as connection:
            return [step for step, _ in merge_day(self.data_dir, FIRST_DAY + day, connection, look=look)]

    def purge(self) -> "SmallStore":
        """Delete from landing.sqlite what is in the lake."""
        landing = Landing(self.data_dir)
        retention = Retention(landing, self.data_dir, 90.0)
        for _ in range(300):
            retention.step()
        landing.close()
        return self

    def likes(self) -> list[tuple[str, str]]:
        """Return (liker, post) of every like record that readers see, by name."""
        return seen(self.data_dir)

    def copy(self, target: Path) -> "SmallStore":
        """Return the store as kill -9 would leave it now."""
        shutil.copytree(self.data_dir, target)
        return SmallStore(target, dict(self.keys))

    def files(self, day: int) -> tuple[Path, Path]:
        """Return a day's files of likes and of changes."""
        changes = places.changes_of(self.data_dir, FIRST_DAY + day)
        assert changes is not None
        return places.likes(self.data_dir, FIRST_DAY + day), changes.path

    def in_file(self, day: int) -> int:
        """Return how many likes a day's file of likes holds."""
        return int(pq.read_metadata(self.files(day)[0]).num_rows)


def tid_number(text: str) -> int:
    """Return a key's number."""
    number = rkey_to_int(text)
    assert number is not None
    return number


def seen(data_dir: Path) -> list[tuple[str, str]]:
    """Return (liker, post) of every like record that readers see, by name."""
    found = like_records(data_dir)[0]
    return sorted(
        (one.liker.removeprefix("did:plc:"), one.author.removeprefix("did:plc:").removesuffix("-author"))
        for one in found
    )
