"""A simulated network in a store, with the batch's lists by any parameters, and the worth of posts to its people.

Owns: ``Town``: the store, its lists, viewers' answers, worth and composition of pages. Leaves to others: which rules
are changed (bench_rules.py), and what the optimum is (bench_optimum.py).
"""

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from bench_optimum import END_US, PAGE, events_in, split_of, worth

from pipeline.batch import jobs
from pipeline.identifiers import post_uri, tid_to_int
from pipeline.ingest import jetstream
from pipeline.ranking import Ranking
from pipeline.settings import load_settings
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from pipeline.store.model import HOUR_US
from serving.lists.list_bytes import items as items_of
from sql.sqlite import connect, migrate


class Town:
    """A simulated network in a store, and what every post is worth to some of its people."""

    def __init__(self, data_dir: Path, people: int, days: float, viewers: int, seed: int) -> None:
        self.data_dir, self.seed = data_dir, seed
        parameters = WorldParameters(
            users=people, days=days, seed=seed, end_us=END_US, keep_hours=24 * days + 1
        )
        self.world = World(parameters)
        self.world.make_until(END_US + 600_000_000)
        self._land()
        jobs.run(self.settings({}), "all")
        events, self.posts = events_in(self.world)
        serving = connect(data_dir / "serving.sqlite", read_only=True)
        listed = {did for (did,) in serving.execute("SELECT did FROM viewers")}
        serving.close()
        dids = [self.world.people.dids[int(key)] for key in events.user_keys]
        known = np.array([number for number, did in enumerate(dids) if did in listed])
        chosen = np.random.default_rng(seed).choice(known, min(viewers, len(known)), replace=False)
        self.split = split_of(events, np.sort(chosen))
        self.dids = [dids[viewer] for viewer in self.split.viewers.tolist()]
        self.weights = worth(self.world, self.split, self.posts)
        authors = self.world.posts.of("author", self.posts)
        self.rkeys = self.world.posts.of("rkey", self.posts)
        self.item = {
            (self.world.people.dids[int(author)], int(rkey)): place
            for place, (author, rkey) in enumerate(zip(authors, self.rkeys, strict=True))
        }
        self.authors = authors
        self.communities = self.world.posts.of("community", self.posts)
        recent = events.times_us > END_US - 96 * HOUR_US
        self.likers = np.bincount(events.items[recent], minlength=len(self.posts))

    def _land(self) -> None:
        self.data_dir.mkdir(parents=True)
        landing = Landing(self.data_dir)
        lines = self.world.lines(until_us=END_US)
        while part := list(islice(lines, 20_000)):
            batch = EventBatch()
            jetstream.decode(part, batch)
            landing.append(batch, "simulated", jetstream.WIRE)
        landing.close()

    def settings(self, changes: dict[str, Any]) -> Any:
        """Return settings with some parameters of the ranking changed."""
        settings = load_settings({"data_dir": str(self.data_dir)}, {}, self.data_dir)
        settings.ranking.update(changes)  # type: ignore[attr-defined]
        return settings

    def lists(self, changes: dict[str, Any], *, neighbours: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Make everybody's lists; return (items, sources) of the viewers, -1 where a list ends."""
        with closing(connect(self.data_dir / "serving.sqlite")) as serving:
            serving.execute("DELETE FROM lists")
        if neighbours:
            jobs.run(self.settings(changes), "neighbours")
        jobs.run(self.settings(changes), "candidates")
        length = int(changes.get("list_length", Ranking().list_length))
        items, sources = np.full((len(self.dids), length), -1), np.zeros((len(self.dids), length), int)
        with closing(connect(self.data_dir / "serving.sqlite", read_only=True)) as serving:
            uris = dict(serving.execute("SELECT post_id, uri FROM posts"))
            query = "SELECT v.did, l.items FROM lists AS l JOIN viewers AS v USING (viewer_id)"
            found = dict(serving.execute(query).fetchall())
        for row, did in enumerate(self.dids):
            for place, entry in enumerate(items_of(found.get(did, b""), 0, length)):
                parts = uris[entry.post_id].split("/")
                items[row, place] = self.item.get((parts[2], tid_to_int(parts[4])), -1)
                sources[row, place] = entry.source
        return items, sources

    def answer(self, event: str, posts: list[list[int]]) -> None:
        """Let each viewer say something of some posts, and forget what they said before."""
        people = self.world.people.dids
        rows = []
        for did, items in zip(self.dids, posts, strict=True):
            for item in items:
                author = people[int(self.authors[item])]
                rows.append((did, post_uri(author, int(self.rkeys[item])), event, END_US))
        with closing(connect(self.data_dir / "activity.sqlite")) as activity:
            migrate(activity, "activity")
            activity.execute("DELETE FROM interactions")
            activity.executemany("INSERT INTO interactions VALUES (?, ?, ?, 'for-you', '', '', ?)", rows)

    def shares(self, items: np.ndarray, depth: int = PAGE, barred: np.ndarray | None = None) -> np.ndarray:
        """Return each viewer's share of the optimum; what is barred is worth nothing."""
        weights = self.weights if barred is None else np.where(barred, 0, self.weights)
        some = items[:, :depth]
        got = np.where(some >= 0, np.take_along_axis(weights, np.maximum(some, 0), 1), 0).sum(1)
        most = np.sort(np.partition(weights, -depth, axis=1)[:, -depth:], axis=1).sum(1)
        return got / np.maximum(most, 1e-30)

    def looks(self, items: np.ndarray) -> dict[str, float]:
        """Return what a page looks like: authors, coverage, posts few like."""
        page = items[:, :PAGE]
        by = [np.unique(self.authors[row[row >= 0]], return_counts=True)[1] for row in page]
        shown = np.unique(page[page >= 0])
        return {
            "authors_a_page": round(float(np.mean([len(sizes) for sizes in by])), 3),
            "most_of_one_author": round(float(np.mean([sizes.max(initial=0) for sizes in by])), 3),
            "neighbouring_authors": round(float(np.mean([self._neighbouring(row) for row in page])), 4),
            "different_posts": len(shown),
            "different_posts_few_like": int(np.count_nonzero(self.likers[shown] <= 5)),
            "posts_a_list": round(float((items >= 0).sum(1).mean()), 1),
        }

    def _neighbouring(self, row: np.ndarray) -> float:
        authors = self.authors[row[row >= 0]]
        near = [author in authors[max(0, i - 3) : i] for i, author in enumerate(authors)]
        return float(np.mean(near)) if near else 0.0
