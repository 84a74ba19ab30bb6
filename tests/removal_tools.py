"""A stream of posts, the lists that name them, and the two processes between a deletion and a page.

Owns: ``Town``. Leaves to the tests: what happens on the stream, and what pages should show then.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import commands
import httpx
from list_bytes import blob
from serving_worlds import Account, ServingStore, bearer, plc_did
from streams import LineStream, free_port, wait_until

from pipeline.identifiers import post_uri, tid_at, tid_from_int

START_US = 1_779_719_009_000_000
POST = "app.bsky.feed.post"


@dataclass
class Town:
    """``authors`` write ``posts`` posts in turn; ``viewer`` has a list of all of them, and so has everybody."""

    data_dir: Path
    stream: LineStream
    authors: int
    posts: int
    feed_port: int
    viewer: Account
    clock_us: int = START_US
    generation: int = 1

    @property
    def service(self) -> str:
        return f"did:web:localhost%3A{self.feed_port}"

    def author(self, number: int) -> str:
        return plc_did(100 + number % self.authors)

    def rkey(self, number: int) -> int:
        return tid_at(START_US + number * 1_000_000)

    def uri(self, number: int) -> str:
        return post_uri(self.author(number), self.rkey(number))

    def commit(self, number: int, operation: str, step: int = 0) -> str:
        """Return the line of an operation on a post."""
        self.clock_us += 1_000
        record = {"$type": POST, "text": "hello", "createdAt": "2026-05-25T14:23:28.778Z", "langs": ["en"]}
        body = {
            "rev": tid_from_int(tid_at(self.clock_us + step)),
            "operation": operation,
            "collection": POST,
            "rkey": tid_from_int(self.rkey(number)),
        } | ({} if operation == "delete" else {"record": record, "cid": "bafy"})
        return self._line(self.author(number), "commit", {"commit": body})

    def account(self, number: int, status: str | None) -> str:
        """Return the line of the status of an author's account, None for active."""
        body = {"active": status is None} | ({} if status is None else {"status": status})
        return self._line(self.author(number), "account", {"account": body})

    def identity(self, did: str) -> str:
        """Return the line of a changed identity."""
        return self._line(did, "identity", {"identity": {"did": did}})

    def _line(self, did: str, kind: str, rest: dict[str, object]) -> str:
        self.clock_us += 1_000
        return json.dumps({"did": did, "time_us": self.clock_us, "kind": kind, **rest})

    def publish(self) -> None:
        """Write lists of all posts into serving.sqlite, as the batch numbers posts and authors."""
        with closing(sqlite3.connect(self.data_dir / "landing.sqlite")) as landing:
            ids = dict(landing.execute("SELECT did, actor_id FROM actors").fetchall())
        store = ServingStore(self.data_dir / "serving.sqlite")
        rows = [
            (number + 1, ids[self.author(number)], self.rkey(number), self.uri(number), START_US, 5, 1)
            for number in range(self.posts)
        ]
        store.connection.executemany(
            "INSERT OR REPLACE INTO posts "
            "(post_id, author_id, rkey, uri, created_us, likers, last_generation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        every = range(1, self.posts + 1)
        popular = blob(every, sources=[2] * self.posts)
        store.publish(1, {self.viewer.did: blob(every, co_likers=[4] * self.posts)}, {"": popular})
        store.close()

    def page(self, *, signed: bool = True, limit: int = 100, cursor: str = "") -> tuple[list[str], str]:
        """Return a page that the web app answers, and its cursor."""
        headers = bearer(self.viewer.token(now=time.time(), aud=self.service)) if signed else {}
        feed = f"at://{self.service}/app.bsky.feed.generator/for-you"
        answer = httpx.get(
            f"http://127.0.0.1:{self.feed_port}/xrpc/app.bsky.feed.getFeedSkeleton",
            params={"feed": feed, "limit": limit} | ({"cursor": cursor} if cursor else {}),
            headers=headers,
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        return [item["post"] for item in answer.json()["feed"]], answer.json().get("cursor", "")

    def uris(self, numbers: Sequence[int]) -> list[str]:
        return [self.uri(number) for number in numbers]


@contextmanager
def running_town(
    folder: Path, viewer: Account, plc_url: str, *, authors: int = 5, posts: int = 20, **settings: str
) -> Iterator[Town]:
    """Run ``foryou ingest`` and ``foryou serve`` between a stream and pages; the posts are stored and listed."""
    data_dir, port = folder / "data", free_port()
    with LineStream([]) as stream:
        town = Town(data_dir, stream, authors, posts, port, viewer)
        stream.lines = [town.commit(number, "create") for number in range(posts)]
        env = commands.environment(
            data_dir,
            stream_url=stream.url,
            stream_start_hours="1000000",
            hostname=f"localhost:{port}",
            listen=f"127.0.0.1:{port}",
            plc_url=plc_url,
            **settings,
        )
        with commands.running("ingest", env=env, log=folder / "ingest.log"):
            wait_until(lambda: _stored_posts(data_dir) == posts)
            town.publish()
            with commands.running("serve", env=env, log=folder / "serve.log"):
                wait_until(lambda: _answers(port))
                yield town


def _stored_posts(data_dir: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{data_dir / 'landing.sqlite'}?mode=ro", uri=True)) as landing:
            return int(landing.execute("SELECT count(*) FROM posts").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _answers(port: int) -> bool:
    try:
        httpx.get(
            f"http://127.0.0.1:{port}/health", timeout=60
        )  # the lists are old, so the status is no matter
    except httpx.HTTPError:
        return False
    return True
