"""What does each rule after the ranking cost, and what does it bring?

    python tests/bench/bench_rules.py [--people 4000] [--days 7] [--viewers 300] [--seed 1] [--log FILE]
        [--sets ../shared/data/retweets.parquet,../shared/data/news_clicks.parquet]

The batch makes the lists of a simulated network whose tastes are known (rules_town.py): once as they are, and once
without each rule. The rules are: places between an author's posts, the cap per author, filling with popular posts, seen
posts last, "show less" as a negative seed and against an author, and a share of trial places. A page is the first 30
posts. Its worth is its share of the reachable optimum (bench_optimum.py). It is shown with a 95 % bootstrap interval
over viewers, and with its difference to the unchanged lists. On sets with time, trial places are measured by recall@30
and coverage at the moments that ``foryou evaluate`` reports (rules_sets.py). Prints a line per result; --log appends
them as JSON lines of the form in tests/bench/evaluation_log.jsonl.
"""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from bench_optimum import PAGE
from bench_tools import parser_of
from rules_sets import TRIED, name_of, tried_on
from rules_town import Town

PAGES = 3 * PAGE
ANSWERED = 5  # posts that a viewer wants less of


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
            (name_of(share, most), {"trial_share": share, "trial_max_likers": most})
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
    answering = np.array(kinds) >= 0

    def of_the_kind(found: np.ndarray) -> float:
        rows = [town.communities[row[row >= 0]] == kind
                for row, kind in zip(found[answering, :PAGES], np.array(kinds)[answering], strict=True)]  # fmt: skip
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
        shares = town.shares(found, barred=barred)[answering]
        usual = shares if usual is None else usual
        more = {"answered": ANSWERED, "of_the_kind_before": before, "of_the_kind": of_the_kind(found)}
        log.add(name, changes, shares, usual, **more)
    town.answer("requestLess", [[] for _ in town.dids])
    town.lists({}, neighbours=True)


def _mean(values: Any) -> float:
    return round(float(np.mean(values)), 5)


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, people=4000, days=7.0, viewers=300, seed=1)
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the results as JSON lines")
    parser.add_argument("--sets", default="", help="Parquet files of (user, item, ts_ms), comma-separated")
    options = parser.parse_args()
    log = Log(f"simulated, middle, {options.people} people", options.seed)
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder) / "data", options.people, options.days, options.viewers, options.seed)
        rules(town, log)
    for name in filter(None, options.sets.split(",")):
        tried_on(Path(name), log.note, options.seed)
    if options.log is not None:
        with options.log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in log.lines)


if __name__ == "__main__":
    main()
