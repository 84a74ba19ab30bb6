"""A live stream for a store that synthetic_lake.py made: its people go on liking and posting, now.

    python tests/bench/soak_feed.py DIR EVENTS_A_SECOND [SEED]

Serves Jetstream v1 on a free port of loopback and prints the port. Of a hundred events, 83 are likes and 14 posts, as
in the recorded window of the live network, and half of the posts are replies; the others are unlikes, deletions,
identity and account events. How often people like, and in which community, is what the store was made from. Half of
the likes go to posts made since the stream began, the others to posts of the store's last day.

A line of JSON on standard input puts events into the stream at once: {"id": 7, "steps": [["post", DID, RKEY],
["like", DID, RKEY, AUTHOR, POST]]}. The answer on standard output, {"id": 7, "sent_us": …}, has the time of the last
event. Every ten seconds a line says what was sent so far. The program ends with its standard input.

Owns: the program; ``Stream``, which runs it for a benchmark; counting what of it is in the store.
"""

import json
import re
import select
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import orjson
from like_feed import shake_hands
from synthetic_lake import AFTER_ALL_DIDS, did_of, people_of

from pipeline.identifiers import post_uri, tid_at, tid_from_int
from pipeline.ingest.operations import LIKE, POST
from pipeline.simulate.server.listener import frames
from pipeline.store.model import DAY_US, PostFlag
from sql.sqlite import connect

KINDS = ("like", "unlike", "post", "unpost", "identity", "account")
SHARES = (0.83, 0.01, 0.136, 0.008, 0.008, 0.008)
REPLIES = 8 / 17
TICK_SECONDS = 0.02
KEPT_MESSAGES = 200_000  # for who comes back with a cursor
DRAWN = 20_000
LIVE_POSTS = 400  # of a community, the newest
LANGUAGES = ("en", "pt", "ja", "de")  # of a community, as in the store
CID = "bafyreiftot7eltsc3f6g4qktykmbv6jcmdmhcx5osscan6jpdxkpqcmcza"


class Life:
    """What the store's people do next."""

    def __init__(self, data_dir: Path, seed: int) -> None:
        landing = connect(data_dir / "landing.sqlite", read_only=True)
        found = landing.execute("SELECT max(actor_id) FROM actors WHERE did < ?", (AFTER_ALL_DIDS,))
        actors = found.fetchone()[0]
        self._people = people_of(np.random.default_rng(seed), actors)
        since = tid_at(time.time_ns() // 1000 - DAY_US)
        found = landing.execute(
            "SELECT author_id, rkey FROM posts WHERE rkey >= ? AND flags & ? = 0",
            (since, int(PostFlag.REPLY)),
        ).fetchall()
        landing.close()
        posts = np.array(found, np.int64).reshape(-1, 2)
        home = self._people.home[posts[:, 0] - 1]
        self._rng = np.random.default_rng()
        order = np.lexsort((self._rng.random(len(posts)), home))
        self._posts, communities = posts[order], int(self._people.home.max()) + 1
        self._edges = np.searchsorted(home[order], np.arange(communities + 1))
        appeal = np.minimum(self._rng.pareto(1.15, len(posts)), 3e4) + 0.05
        self._heap = np.concatenate([[0.0], np.cumsum(appeal)])
        self._live: list[deque[tuple[int, int]]] = [deque(maxlen=LIVE_POSTS) for _ in range(communities)]
        self._all_live: deque[tuple[int, int]] = deque(maxlen=50_000)
        self._likes: deque[tuple[int, int]] = deque(maxlen=50_000)
        self._drawn: list[int] = []

    def somebody(self) -> int:
        """Return a person by number from 1; who likes much is drawn often."""
        if not self._drawn:
            places = np.searchsorted(self._people.heap, self._rng.random(DRAWN) * self._people.heap[-1])
            self._drawn = (places + 1).tolist()
        return self._drawn.pop()

    def event(self, kind: str, time_us: int) -> dict[str, Any]:
        """Return an event; one of a kind for which there is nothing yet is a like."""
        who = self.somebody()
        rkey = tid_at(time_us - 300_000, int(self._rng.integers(1024)))
        if kind == "unlike" and self._likes:
            who, liked = self._likes.popleft()
            return commit(did_of(who), time_us, "delete", LIKE, liked)
        if kind == "unpost" and self._all_live:
            who, rkey = self._all_live.popleft()
            return commit(did_of(who), time_us, "delete", POST, rkey)
        if kind == "post":
            return self._post(who, rkey, time_us)
        if kind in {"identity", "account"}:
            body = {"did": did_of(who), "seq": time_us, "time": iso(time_us)}
            return {"did": did_of(who), "time_us": time_us, "kind": kind,
                    kind: body | ({"active": True} if kind == "account" else {})}  # fmt: skip
        author, post = self._choose(who)
        self._likes.append((who, rkey))
        return like(did_of(who), time_us, rkey, did_of(author), post)

    def _post(self, who: int, rkey: int, time_us: int) -> dict[str, Any]:
        home = int(self._people.home[who - 1])
        parent = None
        if self._all_live and self._rng.random() < REPLIES:
            author, replied = self._all_live[-1]
            parent = post_uri(did_of(author), replied)
        else:
            self._live[home].append((who, rkey))
            self._all_live.append((who, rkey))
        return post_of(did_of(who), time_us, rkey, LANGUAGES[home % 4], parent)

    def _choose(self, who: int) -> tuple[int, int]:
        luck = self._rng.random(3)
        community = int(self._people.home[who - 1] if luck[0] < 0.5 else self._people.second[who - 1])
        everywhere = luck[0] > 0.75
        live = self._all_live if everywhere else self._live[community]
        if live and luck[1] < 0.5:
            # The newest are liked most, as on the network.
            return live[-1 - int(luck[2] ** 3 * len(live))]
        low, high = (0, len(self._posts)) if everywhere else self._edges[community : community + 2]
        if low == high:
            low, high = 0, len(self._posts)
        if not high:
            return self._all_live[-1] if self._all_live else (1, tid_at(time.time_ns() // 1000))
        point = self._heap[low] + luck[2] * (self._heap[high] - self._heap[low])
        place = min(int(np.searchsorted(self._heap, point, "right")) - 1, int(high) - 1)
        return int(self._posts[place, 0]), int(self._posts[place, 1])


def iso(time_us: int) -> str:
    """Return a time as records have it."""
    return np.datetime_as_string(np.datetime64(time_us, "us"), unit="ms") + "Z"


def commit(
    did: str, time_us: int, operation: str, collection: str, rkey: int, record: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a commit as Jetstream v1 spells it."""
    body: dict[str, Any] = {"rev": tid_from_int(tid_at(time_us)), "operation": operation,
                            "collection": collection, "rkey": tid_from_int(rkey)}  # fmt: skip
    if record is not None:
        body |= {"record": {"$type": collection, "createdAt": iso(time_us), **record}, "cid": CID}
    return {"did": did, "time_us": time_us, "kind": "commit", "commit": body}


def like(did: str, time_us: int, rkey: int, author: str, post: int) -> dict[str, Any]:
    """Return a like."""
    subject = {"cid": CID, "uri": post_uri(author, post)}
    return commit(did, time_us, "create", LIKE, rkey, {"subject": subject})


def post_of(did: str, time_us: int, rkey: int, language: str, parent: str | None = None) -> dict[str, Any]:
    """Return a post, or a reply."""
    record: dict[str, Any] = {"text": "A line about the day, as long as most are.", "langs": [language]}
    if parent is not None:
        record["reply"] = {"parent": {"cid": CID, "uri": parent}, "root": {"cid": CID, "uri": parent}}
    return commit(did, time_us, "create", POST, rkey, record)


class Wire:
    """The connections: each gets what is sent from its cursor on."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT_MESSAGES)
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.getsockname()[1])

    def send(self, messages: list[tuple[int, bytes]]) -> None:
        """Send messages with their times to all who listen."""
        framed = [(time_us, frames([message])) for time_us, message in messages]
        data = b"".join(frame for _, frame in framed)
        with self._lock:
            self._kept.extend(framed)
            for connection in list(self._connections):
                try:
                    connection.sendall(data)
                except OSError:
                    self._connections.remove(connection)

    def _accept(self) -> None:
        while True:
            connection = self._server.accept()[0]
            threading.Thread(target=self._begin, args=(connection,), daemon=True).start()

    def _begin(self, connection: socket.socket) -> None:
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65_536) or b"\r\n\r\n"
            shake_hands(connection, request)
            found = re.search(rb"[?&]cursor=(\d+)", request)
            with self._lock:
                since = int(found[1]) if found else 1 << 62
                connection.sendall(b"".join(frame for time_us, frame in self._kept if time_us >= since))
                self._connections.append(connection)
                self.connections += 1
            while connection.recv(65_536):  # pings, until the reader leaves
                pass
        except OSError:
            return


def steps_of(steps: list[list[Any]], time_us: int) -> list[dict[str, Any]]:
    """Return the events of a line on standard input, a microsecond apart."""
    events = []
    for place, (kind, did, rkey, *more) in enumerate(steps):
        at = time_us + place
        events.append(post_of(did, at, rkey, "en") if kind == "post" else like(did, at, rkey, *more))
    return events


def run(data_dir: Path, rate: float, seed: int) -> None:
    """Send until standard input ends."""
    life, wire, sent = Life(data_dir, seed), Wire(), Counter[str]()
    kinds: list[str] = []
    rng = np.random.default_rng()
    print(wire.port, flush=True)
    began, made, last_us, report_at, behind = time.monotonic(), 0, 0, time.monotonic() + 10, 0.0
    waiting, typed = b"", sys.stdin.buffer.raw  # type: ignore[attr-defined]
    while True:
        due, batch, answers = int((time.monotonic() - began) * rate) - made, [], []
        behind = max(behind, due / rate)
        for _ in range(due):
            kinds = kinds or rng.choice(KINDS, 10_000, p=SHARES).tolist()
            last_us = max(last_us + 1, time.time_ns() // 1000)
            event = life.event(kinds.pop(), last_us)
            batch.append(event)
        made += max(due, 0)
        while select.select([typed], [], [], 0)[0]:
            some = typed.read(65_536)
            if not some:
                print(
                    json.dumps({"sent": sent, "behind": behind, "connections": wire.connections}), flush=True
                )
                return
            waiting += some
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            wanted = json.loads(line)
            events = steps_of(wanted["steps"], max(last_us + 1, time.time_ns() // 1000))
            last_us = events[-1]["time_us"]
            batch += events
            answers.append({"id": wanted["id"], "sent_us": last_us})
        sent.update(_name(event) for event in batch)
        if batch:
            wire.send([(event["time_us"], orjson.dumps(event)) for event in batch])
        for answer in answers:
            print(json.dumps(answer), flush=True)
        if time.monotonic() >= report_at:
            print(json.dumps({"sent": sent, "behind": behind, "connections": wire.connections}), flush=True)
            report_at += 10
        time.sleep(TICK_SECONDS)


def _name(event: dict[str, Any]) -> str:
    if event["kind"] != "commit":
        return str(event["kind"])
    body = event["commit"]
    return ("like" if body["collection"] == LIKE else "post") + (
        "" if body["operation"] == "create" else "_deleted"
    )


class Stream:
    """The stream as a process; ``send`` puts events into it, ``reported`` is what it says it has sent."""

    def __init__(self, data_dir: Path, rate: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(data_dir), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.reported: dict[str, Any] = {"sent": {}, "behind": 0.0}
        self._answers: dict[int, int] = {}
        self._answered, self._number = threading.Condition(), 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, steps: list[list[Any]]) -> int:
        """Put events into the stream; return the time of the last."""
        with self._answered:
            self._number += 1
            request = self._number
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": request, "steps": steps}).encode() + b"\n")
        self.process.stdin.flush()
        with self._answered:
            if not self._answered.wait_for(lambda: request in self._answers, 60):
                raise SystemExit("the stream does not answer")
            return self._answers.pop(request)

    def end(self) -> None:
        """End the stream; ``reported`` is then what it sent in all."""
        assert self.process.stdin is not None
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(10)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            with self._answered:
                if "id" in answer:
                    self._answers[answer["id"]] = answer["sent_us"]
                    self._answered.notify_all()
                else:
                    self.reported = answer


def stored(data_dir: Path, since_us: int) -> dict[str, int]:
    """Return what ingest has counted, and the live likes of since a time that are in the store."""
    landing = sqlite3.connect(f"file:{data_dir / 'landing.sqlite'}?mode=ro", uri=True)
    rows = landing.execute("SELECT kind || ' ' || name, value FROM counters").fetchall()
    query = "SELECT count(*) FROM likes WHERE rkey >= ? AND seen_us >= ?"
    (likes,) = landing.execute(query, (tid_at(since_us), since_us)).fetchone()
    landing.close()
    return {**dict(rows), "likes in the store": likes}


def events(counted: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """Return the events counted since."""
    return {
        name: value - before.get(name, 0)
        for name, value in counted.items()
        if name.startswith(("event ", "drop "))
    }


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
