"""What does each rule after the ranking cost, and what does it bring?

    python tests/bench/bench_rules.py [--people 4000] [--days 7] [--viewers 300] [--seed 1] [--log FILE]
        [--sets ../shared/data/retweets.parquet,../shared/data/news_clicks.parquet]

On a simulated network, whose tastes are known, the batch itself makes the lists, once as it is and once without each
rule: places between an author's posts, the cap an author, filling up with what is popular, seen posts last, "show
less" as a negative seed and against an author; and with a share of places that try posts few have seen. A page is the
first 30 posts. Its worth is its share of the reachable optimum (bench_optimum.py), with a 95 % bootstrap interval over
viewers, and the difference to the lists as they are with its own. On sets with time, places that try posts are
measured by recall@30 and coverage as foryou evaluate does it, at the moments it reports. Prints a line a result;
--log appends them as JSON lines, as tests/bench/evaluation_log.jsonl keeps them.
"""

import argparse
import json
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from bench_optimum import END_US, PAGE, events_of, split_of, worth

from pipeline.batch import exploring, jobs
from pipeline.evaluate import ours
from pipeline.evaluate.events import from_file
from pipeline.evaluate.measures import DEPTH, measure
from pipeline.evaluate.popularity import fill, popular_items
from pipeline.evaluate.splits import HOUR_US, Split, rolling
from pipeline.identifiers import post_uri, tid_to_int
from pipeline.ingest import jetstream
from pipeline.ranking import Ranking
from pipeline.settings import load_settings
from pipeline.simulate.world import World, WorldParameters
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing
from serving.lists import items as items_of
from sql.sqlite import connect, migrate

PAGES = 3 * PAGE
ANSWERED = 5  # posts that a viewer wants less of
TRIED = ((1 / 30, 5), (1 / 30, 20), (0.1, 5), (0.1, 20))  # explore_share, explore_max_likers


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
        events, self.posts = events_of(self.world)
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


class Log:
    """The results: printed, and kept as lines."""

    def __init__(self, town_name: str, seed: int) -> None:
        self.lines: list[dict[str, Any]] = []
        self._head = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "set": town_name, "seed": seed}
        self._rng = np.random.default_rng(seed)

    def add(
        self, method: str, parameters: dict[str, Any], shares: np.ndarray, usual: np.ndarray, **more: Any
    ) -> None:
        """Note a result: shares of viewers, and those of the lists as they are."""
        draws = self._rng.poisson(1.0, (1000, len(shares))).astype(float)
        draws /= draws.sum(1, keepdims=True)

        def spread(values: np.ndarray) -> list[float]:
            return [round(float(x), 5) for x in np.quantile(draws @ values, [0.025, 0.975])]

        change = shares - usual
        line = {
            **self._head,
            "stage": "rule",
            "method": method,
            "parameters": parameters,
            "viewers": len(shares),
            "share": round(float(shares.mean()), 5),
            "share_interval": spread(shares),
            "share_difference": [round(float(change.mean()), 5), *spread(change)],
            **more,
        }
        self.note(line)

    def note(self, line: dict[str, Any]) -> None:
        """Keep and print a line."""
        self.lines.append(line)
        hidden = {"date", "seed", "stage"}
        print(json.dumps({name: value for name, value in line.items() if name not in hidden}), flush=True)


def rules(town: Town, log: Log) -> None:
    """Measure the lists as they are, and without each rule."""
    items, sources = town.lists({})
    usual = town.shares(items)
    log.add(
        "the lists as they are", {}, usual, usual, at_300=_mean(town.shares(items, 300)), **town.looks(items)
    )
    for name, changes in (
        ("no places between an author's posts", {"author_spacing": 0}),
        ("no cap an author", {"max_per_author": 1000}),
        ("neither cap nor places between", {"max_per_author": 1000, "author_spacing": 0}),
        *(
            (f"{share:.1%} of places try posts of at most {most} likers",
             {"explore_share": share, "explore_max_likers": most})
            for share, most in TRIED
        ),
    ):  # fmt: skip
        found, _ = town.lists(changes)
        more = {"at_300": _mean(town.shares(found, 300)), **town.looks(found)}
        log.add(name, changes, town.shares(found), usual, **more)
    own = np.where(sources == 2, -1, items)
    own = np.take_along_axis(own, np.argsort(own < 0, axis=1, kind="stable"), 1)
    more = {
        "at_300": _mean(town.shares(own, 300)),
        "viewers_with_a_page_to_fill": int((own[:, PAGE - 1] < 0).sum()),
    }
    log.add("not filled up with what is popular", {}, town.shares(own), usual, **more, **town.looks(own))
    few = town.split.activity <= 5
    if few.any():
        more = {"posts_a_list": round(float((own[few] >= 0).sum(1).mean()), 1)}
        log.add("not filled up, viewers of 5 likes and fewer", {}, town.shares(own)[few], usual[few], **more)
    seen_last(town, log, items)
    show_less(town, log, items)


def seen_last(town: Town, log: Log, items: np.ndarray) -> None:
    """Measure the next page of viewers who saw every second post of the first and liked none of them."""
    seen = [[int(item) for item in row[:PAGE:2] if item >= 0] for row in items]
    barred = np.zeros(town.weights.shape, bool)
    for row, posts in enumerate(seen):
        barred[row, posts] = True
    town.answer("interactionSeen", seen)
    after, _ = town.lists({})
    town.answer("interactionSeen", [[] for _ in town.dids])
    again = [
        float(np.mean([item in posts for item in row[:PAGE]])) for row, posts in zip(items, seen, strict=True)
    ]
    still = [
        float(np.mean([item in posts for item in row[:PAGE]])) for row, posts in zip(after, seen, strict=True)
    ]
    new = town.shares(after, barred=barred)
    log.add("seen posts last, what was seen is worth nothing", {}, new, new, seen_again=_mean(still))
    log.add("seen posts where they were, what was seen is worth nothing", {}, town.shares(items, barred=barred), new,
            seen_again=_mean(again))  # fmt: skip
    log.add(
        "seen posts where they were, what was seen is worth as much",
        {},
        town.shares(items),
        town.shares(after),
    )


def show_less(town: Town, log: Log, items: np.ndarray) -> None:
    """Measure the next pages of viewers who answered posts of a community that is worth little to them.

    It is the one worth least a post of those with ANSWERED posts or more on their first three pages.
    """
    answered, kinds, barred = [], [], np.zeros(town.weights.shape, bool)
    for row, pages in enumerate(items[:, :PAGES]):
        posts = pages[pages >= 0]
        of = town.communities[posts]
        worths = {
            int(kind): float(town.weights[row, posts[of == kind]].mean())
            for kind, count in zip(*np.unique(of, return_counts=True), strict=True)
            if count >= ANSWERED
        }
        kind = min(worths, key=lambda kind: worths[kind]) if len(worths) > 1 else -1
        kinds.append(kind)
        answered.append([int(item) for item in posts[of == kind][:ANSWERED]])
        barred[row, answered[-1]] = True
    asked = np.array(kinds) >= 0

    def of_the_kind(found: np.ndarray) -> float:
        rows = [town.communities[row[row >= 0]] == kind
                for row, kind in zip(found[asked, :PAGES], np.array(kinds)[asked], strict=True)]  # fmt: skip
        return _mean([row.mean() for row in rows])

    before = of_the_kind(items)
    town.answer("requestLess", answered)
    usual = None
    for name, changes in (
        ("show less, as it is", {}),
        ("show less hides the posts and the author alone", {"seed_weight_less": 0.0}),
        ("show less hides the posts and speaks against their likers alone", {"less_author_posts": 100_000}),
        ("show less hides the posts alone", {"seed_weight_less": 0.0, "less_author_posts": 100_000}),
    ):
        found, _ = town.lists(changes, neighbours=True)
        shares = town.shares(found, barred=barred)[asked]
        usual = shares if usual is None else usual
        more = {"answered": ANSWERED, "of_the_kind_before": before, "of_the_kind": of_the_kind(found)}
        log.add(name, changes, shares, usual, **more)
    town.answer("requestLess", [[] for _ in town.dids])
    town.lists({}, neighbours=True)


def tried_on(path: Path, log: Log, seed: int) -> None:
    """Measure recall and coverage of places that try posts, on a set with time, at the moments that are reported."""
    events = from_file(path)
    _, later = rolling(events, 3, 6.0, (1000, 3000), seed)
    ranking = replace(Ranking(), explore_share=0.0)
    base = [_ranked(split, ranking) for split in later]
    usual = None
    for share, most in ((0.0, 5), *TRIED):
        recalls, shown, few, catalogue = [], set(), 0, 0
        for split, (lists, scores, likers) in zip(later, base, strict=True):
            found = (
                lists[:, :DEPTH].copy() if share == 0 else _tried(split, lists, scores, likers, share, most)
            )
            fill(found, popular_items(split, 1.0), split)
            measured = measure(split, found)
            recalls.append(measured.values[:, :2])
            names = np.unique(found[found >= 0])
            shown |= {(split.at_us, item) for item in names.tolist()}
            few += int(np.count_nonzero(likers[names] <= 5))
            catalogue += int(np.count_nonzero(split.exists))
        recall = np.concatenate(recalls)
        usual = recall if usual is None else usual
        draws = np.random.default_rng(seed).poisson(1.0, (1000, len(recall))).astype(float)
        change = (draws @ (recall - usual)[:, 0]) / draws.sum(1)
        low, high = np.quantile(change, [0.025, 0.975])
        log.note(
            {
                "date": datetime.now(UTC).strftime("%Y-%m-%d"), "set": events.name, "seed": seed, "stage": "rule",
                "method": "the lists as they are" if share == 0 else
                f"{share:.1%} of places try posts of at most {most} likers",
                "parameters": {"explore_share": share, "explore_max_likers": most} if share else {},
                "viewers": len(recall), "moments": len(later),
                "recall": round(float(recall[:, 0].mean()), 5), "ndcg": round(float(recall[:, 1].mean()), 5),
                "recall_difference": [round(float(x), 5) for x in ((recall - usual)[:, 0].mean(), low, high)],
                "different_posts": len(shown), "different_posts_few_like": few,
                "coverage": round(len(shown) / catalogue, 5),
            }
        )  # fmt: skip


def _ranked(split: Split, ranking: Ranking) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = np.zeros((len(split.viewers), ranking.list_length), np.float32)
    lists = ours.rank(split, ranking.list_length, ranking, scores=scores)
    likers = np.bincount(split.events.items[split.since(ranking.post_max_age_hours)],
                         minlength=split.events.item_count)  # fmt: skip
    return lists, scores, likers


def _tried(
    split: Split, lists: np.ndarray, scores: np.ndarray, likers: np.ndarray, share: float, most: int
) -> np.ndarray:
    """Return first pages by the rule of ``exploring``; of these sets no author is known, so nothing else moves."""
    hour = split.at_us // HOUR_US
    places = [place for place in range(DEPTH) if exploring.is_place(place, share)]
    result = np.full((len(lists), DEPTH), -1, np.int32)
    keys = split.events.item_keys
    for row, viewer in enumerate(split.viewers.tolist()):
        order = [int(item) for item in lists[row] if item >= 0]
        pool = sorted(
            (exploring.turn(viewer, hour, int(keys[item]), float(scores[row, rank])), rank)
            for rank, item in enumerate(order)
            if rank >= exploring.AHEAD and likers[item] <= most and scores[row, rank] > 0
        )
        page = order[:DEPTH]
        for place in places:
            drawn = next((each for each in pool if each[1] >= place + exploring.AHEAD), None)
            if drawn is not None:
                pool.remove(drawn)
                page.insert(place, order[drawn[1]])
        page = page[:DEPTH]
        result[row, : len(page)] = page
    return result


def _mean(values: Any) -> float:
    return round(float(np.mean(values)), 5)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--viewers", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the results as JSON lines")
    parser.add_argument("--sets", default="", help="Parquet files of (user, item, ts_ms), comma-separated")
    options = parser.parse_args()
    log = Log(f"simulated, middle, {options.people} people", options.seed)
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder) / "data", options.people, options.days, options.viewers, options.seed)
        rules(town, log)
    for name in filter(None, options.sets.split(",")):
        tried_on(Path(name), log, options.seed)
    if options.log is not None:
        with options.log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in log.lines)


if __name__ == "__main__":
    main()
