"""Likes whose effect on a viewer's list is known beforehand, and when the published list shows it.

A viewer opens the feed (a signed request), and one of three things is put into the live stream:

    own        the viewer likes a post of that page. The like is shown once the visible list lacks that post and comes
               from a store that held the like: liked posts are left out.
    neighbour  five of the viewer's neighbours like a post that somebody else has just made. The like is shown once the
               post is in the list: nothing else can bring it there.
    seed       three new accounts like four posts that were just made; the viewer likes three of them. The like is
               shown once the fourth is in the list: only these likes make neighbours of them, and only where new
               accounts count at once (``newcomer_hours`` 0, which bench_soak.py sets).

The time runs from the event time of the last like until the generation is visible, in serving.sqlite read twice a
second as the web app reads it. ``refuted`` counts lists that were made with the like and did not show it; ``void``
counts own likes whose post left the list before. Owns: ``Probes``. Leaves to others: the stream, the requests.
"""

import random
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from synthetic_lake import actor_of, did_of

import sql
from pipeline.batch.inputs.neighbour_files import layers_of
from pipeline.identifiers import parse_post_uri, tid_at
from pipeline.simulate.randomness import hashed
from pipeline.simulate.text_columns import did_matrix, texts
from serving.lists.list_bytes import post_ids
from sql import places

KINDS = ("own", "neighbour", "seed")
LOOK_SECONDS = 0.5
NEIGHBOURS = 5
REFUTED_AFTER = 3  # generations that knew of a like and did not show it


@dataclass
class Probe:
    """One like, and the post whose absence ('own') or presence in the viewer's list shows it."""

    number: int
    kind: str
    viewer: str
    author_id: int
    rkey: int
    sent_us: int = 0
    shown_us: int = 0
    outcome: str = "open"
    against: list[int] = field(default_factory=list)  # generations that knew of it and did not show it


class Probes:
    """Makes probes and watches for what comes of them; ``send`` puts steps into the stream and returns their time."""

    def __init__(self, data_dir: Path, feed: str, viewers: list[int], send: Any, page: Any) -> None:
        self._data_dir, self._feed, self._send, self._page = data_dir, feed, send, page
        self._chance = random.Random(5)
        self._neighbours = neighbours_of(data_dir, viewers)
        self._viewers = sorted(self._neighbours)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._newest = 0
        self.made: list[Probe] = []
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End the looking."""
        self._stopping.set()
        self._watcher.join()

    @property
    def open(self) -> int:
        """How many are neither shown nor void."""
        return sum(probe.outcome == "open" for probe in self.made)

    def make(self, kind: str) -> None:
        """Make one probe; nothing when the viewer's page is empty."""
        viewer = self._chance.choice(self._viewers)
        uris = self._page(did_of(viewer))
        now_us, clock = time.time_ns() // 1000, self._chance.randrange(1024)
        author, *more = self._others(viewer)
        post, did = tid_at(now_us, clock), did_of(author)
        steps: list[list[Any]]
        if kind == "own":
            parsed = parse_post_uri(self._chance.choice(uris[:10])) if uris else None
            if parsed is None:
                return
            did, post = parsed
            author = actor_of(did)
            steps = [["like", did_of(viewer), tid_at(now_us, clock), did, post]]
        elif kind == "neighbour":
            steps = [["post", did, post]]
            steps += [
                ["like", did_of(near), tid_at(now_us, clock), did, post]
                for near in self._neighbours[viewer]
                if near != author
            ]
        else:
            words = hashed(11, time.time_ns() + self._chance.randrange(1 << 20) + _RANGE)
            made = [(did_of(other), tid_at(now_us, clock)) for other in more]
            steps = [["post", *each] for each in [*made, (did, post)]]
            for new in texts(did_matrix(words)):
                steps += [
                    ["like", new, tid_at(now_us, place), *each]
                    for place, each in enumerate([*made, (did, post)])
                ]
            steps += [
                ["like", did_of(viewer), tid_at(now_us, place), *each] for place, each in enumerate(made)
            ]
        probe = Probe(len(self.made), kind, did_of(viewer), author, post)
        probe.sent_us = self._send(steps)
        with self._lock:
            self.made.append(probe)

    def _others(self, viewer: int) -> list[int]:
        """Return four other people, none twice: their posts of one moment would be one post."""
        return [other for other in self._chance.sample(self._viewers, 5) if other != viewer][:4]

    def _watch(self) -> None:
        serving = sqlite3.connect(f"file:{self._data_dir / 'serving.sqlite'}?mode=ro", uri=True, timeout=10)
        while not self._stopping.wait(LOOK_SECONDS):
            newest = serving.execute("SELECT max(generation) FROM generations").fetchone()[0]
            if newest == self._newest:
                continue
            now_us, self._newest = time.time_ns() // 1000, newest
            with self._lock:
                waiting = [probe for probe in self.made if probe.outcome == "open"]
            for probe in waiting:
                self._look(serving, probe, newest, now_us)
        serving.close()

    def _look(self, serving: sqlite3.Connection, probe: Probe, newest: int, now_us: int) -> None:
        parameters = {"feed": self._feed, "viewer": probe.viewer, "generation": newest}
        row = serving.execute(sql.load("serving/list_of"), parameters).fetchone()
        if row is None:
            return
        generation, items = row
        known = serving.execute(
            "SELECT snapshot_us FROM generations WHERE generation = ?", (generation,)
        ).fetchone()
        post = serving.execute(
            "SELECT post_id FROM posts WHERE author_id = ? AND rkey = ?", (probe.author_id, probe.rkey)
        ).fetchone()
        listed = post is not None and post[0] in post_ids(items)
        knew = known is not None and known[0] >= probe.sent_us
        if listed == (probe.kind != "own"):
            # The others' posts can come by nothing but these likes; one's own may leave a list by itself.
            probe.outcome = "shown" if knew or probe.kind != "own" else "void"
            probe.shown_us = now_us
        elif knew and probe.kind != "seed" and generation not in probe.against:
            probe.against.append(generation)
            if len(probe.against) >= REFUTED_AFTER:
                probe.outcome = "refuted"

    def figures(self, now_us: int) -> dict[str, dict[str, Any]]:
        """Return by kind how many likes were shown after how many seconds; an open one counts as long as it waits."""
        rows = {}
        for kind in KINDS:
            some = [probe for probe in self.made if probe.kind == kind]
            counted = [probe for probe in some if probe.outcome in {"shown", "open"}]
            times = sorted(((probe.shown_us or now_us) - probe.sent_us) / 1e6 for probe in counted)
            rows[kind] = {
                "likes": len(some),
                **{name: sum(probe.outcome == name for probe in some) for name in ("shown", "open", "void", "refuted")},
                "denied_once": sum(bool(probe.against) for probe in some),
                **{name: quantile(times, share) for name, share in
                   (("p50_s", 0.5), ("p95_s", 0.95), ("max_s", 1.0))},
            }  # fmt: skip
        return rows


_RANGE = np.arange(3)


def quantile(values: list[float], share: float) -> float | None:
    """Return a quantile of sorted values: the smallest of which so large a share is no greater."""
    if not values:
        return None
    return round(values[max(0, -int(-len(values) * share // 1) - 1)], 2)


def neighbours_of(data_dir: Path, viewers: list[int]) -> dict[int, list[int]]:
    """Return the first neighbours of some viewers by actor number, of those who have so many in the last full pass."""
    files = [str(path) for path in layers_of(places.neighbours(data_dir))[0]]
    rows = duckdb.execute(
        "SELECT viewer_id, list(neighbour_id ORDER BY rank) FROM read_parquet(?) "
        "WHERE rank <= ? AND viewer_id IN (SELECT unnest(?)) GROUP BY 1",
        [files, NEIGHBOURS, viewers],
    ).fetchall()
    return {viewer: near for viewer, near in rows if len(near) == NEIGHBOURS}
