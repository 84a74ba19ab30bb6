"""Ingest the straightforward way: the atproto package's own clients and models, SQLite with URIs as text.

    python tests/bench/plain_ingest.py WIRE PORT COUNT FILE

Likes, unlikes, posts and account events go into plain tables, with the cursor beside them and one commit per 1,000
events. The package has clients for Jetstream v2 and for the relay. It has none for Jetstream v1, so the websockets
library, json and the package's record models stand in. Prints seconds and CPU-seconds from the first message to the
last commit.
"""

import json
import sqlite3
import sys
import time

from atproto import CAR, AtUri, models
from atproto_client.models.utils import get_or_create
from atproto_firehose import FirehoseSubscribeReposClient, parse_subscribe_repos_message
from atproto_jetstream import JetstreamClient
from websockets.sync.client import connect

LIKE, POST = "app.bsky.feed.like", "app.bsky.feed.post"


class Store:
    """Plain tables."""

    def __init__(self, file: str, count: int) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE likes (uri TEXT PRIMARY KEY, did TEXT, subject TEXT, created_at TEXT, seen TEXT);"
            "CREATE INDEX likes_did ON likes (did); CREATE INDEX likes_subject ON likes (subject);"
            "CREATE TABLE posts (uri TEXT PRIMARY KEY, did TEXT, reply TEXT, langs TEXT, created_at TEXT);"
            "CREATE TABLE accounts (did TEXT PRIMARY KEY, active INT, status TEXT);"
            "CREATE TABLE cursor (id INTEGER PRIMARY KEY, value INT); BEGIN;"
        )
        self._left, self._waiting = count, 0
        self.began = (0.0, 0.0)

    def event(self, cursor: int) -> None:
        """Count an event; commit every thousand, and end after the last."""
        self._left -= 1
        self._waiting += 1
        if self._waiting >= 1_000 or not self._left:
            self._connection.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?)", (cursor,))
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
            self._waiting = 0
        if not self._left:
            seconds, cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
            print(json.dumps({"seconds": seconds, "cpu": cpu}), flush=True)
            sys.stdout.close()
            raise SystemExit

    def begin(self) -> None:
        if not self.began[0]:
            self.began = time.perf_counter(), time.process_time()

    def operation(self, did: str, collection: str, rkey: str, action: str, record: object, seen: str) -> None:
        execute = self._connection.execute
        uri = f"at://{did}/{collection}/{rkey}"
        if action == "delete":
            execute(f"DELETE FROM {'likes' if collection == LIKE else 'posts'} WHERE uri = ?", (uri,))
        elif collection == LIKE and models.is_record_type(record, models.ids.AppBskyFeedLike):
            AtUri.from_str(record.subject.uri)
            row = (uri, did, record.subject.uri, record.created_at, seen)
            execute("INSERT OR REPLACE INTO likes VALUES (?, ?, ?, ?, ?)", row)
        elif collection == POST and models.is_record_type(record, models.ids.AppBskyFeedPost):
            reply = record.reply.parent.uri if record.reply else None
            row = (uri, did, reply, ",".join(record.langs or []), record.created_at)
            execute("INSERT OR REPLACE INTO posts VALUES (?, ?, ?, ?, ?)", row)

    def account(self, did: str, active: bool, status: str | None) -> None:
        self._connection.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", (did, active, status))


def follow_v1(port: int, store: Store) -> None:
    with connect(f"ws://127.0.0.1:{port}/subscribe?cursor=1", max_size=None, compression=None) as connection:
        for message in connection:
            store.begin()
            event = json.loads(message)
            commit = event.get("commit")
            if commit is not None:
                record = get_or_create(commit["record"], strict=False) if "record" in commit else None
                store.operation(
                    event["did"],
                    commit["collection"],
                    commit["rkey"],
                    commit["operation"],
                    record,
                    str(event["time_us"]),
                )
            elif event["kind"] == "account":
                store.account(event["did"], event["account"]["active"], event["account"].get("status"))
            store.event(event["time_us"])


def follow_v2(port: int, store: Store) -> None:
    client = JetstreamClient(base_uri=f"ws://127.0.0.1:{port}/xrpc", params={"collections": [LIKE, POST]})

    def take(message: object) -> None:
        store.begin()
        if isinstance(message, models.NetworkBskyJetstreamSubscribeEvents.Commit):
            store.operation(
                message.did, message.collection, message.rkey, message.operation, message.record, message.time
            )
        elif isinstance(message, models.NetworkBskyJetstreamSubscribeEvents.Account):
            store.account(message.did, message.account.active, message.account.status)
        store.event(message.seq)  # type: ignore[attr-defined]

    client.start(take)


def follow_firehose(port: int, store: Store) -> None:
    client = FirehoseSubscribeReposClient(base_uri=f"ws://127.0.0.1:{port}/xrpc")

    def take(frame: object) -> None:
        store.begin()
        message = parse_subscribe_repos_message(frame)  # type: ignore[arg-type]
        if isinstance(message, models.ComAtprotoSyncSubscribeRepos.Commit):
            blocks = CAR.from_bytes(message.blocks).blocks
            for op in message.ops:
                collection, _, rkey = op.path.partition("/")
                if collection in (LIKE, POST):
                    raw = blocks.get(op.cid) if op.cid else None
                    record = get_or_create(raw, strict=False) if raw is not None else None
                    store.operation(message.repo, collection, rkey, op.action, record, message.time)
        elif isinstance(message, models.ComAtprotoSyncSubscribeRepos.Account):
            store.account(message.did, message.active, message.status)
        store.event(message.seq)  # type: ignore[attr-defined]

    client.start(take)


if __name__ == "__main__":
    wire, port, count, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    follow = {"jetstream-v1": follow_v1, "jetstream-v2": follow_v2, "firehose": follow_firehose}[wire]
    follow(port, Store(file, count))
