"""The harness of ``foryou evaluate``: measures by hand, nothing of the future, intervals, the command."""

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline import cli
from pipeline.evaluate.event_files import from_file
from pipeline.evaluate.intervals import summarise
from pipeline.evaluate.like_events import EvaluateError, LikeEvents, numbered
from pipeline.evaluate.measures import BY_VIEWER, DEPTH, OF_ALL_LISTS, Measured, measure
from pipeline.evaluate.methods import classical, ours
from pipeline.evaluate.methods.registry import METHODS, Method, chosen, variant
from pipeline.evaluate.report import MEANINGS, TITLES
from pipeline.evaluate.splits import REPORTED, TUNING, Split, moments, rolling, split_at
from pipeline.evaluate.tuning import Trial, tune
from pipeline.evaluate.variety import RESAMPLES_TOGETHER
from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US

RNG = np.random.default_rng(0)
TOGETHER = np.full((len(OF_ALL_LISTS), 1 + RESAMPLES_TOGETHER), 0.1)


def events(rows: list[tuple[int, int, float]]) -> LikeEvents:
    """Return events of (user, item, hours since the start)."""
    likes = pl.DataFrame(rows, ["user", "item", "hours"], orient="row")
    return numbered("hand", likes.with_columns(time_us=(pl.col("hours") * HOUR_US).cast(pl.Int64)))


def communities(seed: int = 1, users: int = 240, hours: int = 96) -> LikeEvents:
    """Two halves of users like fresh items of their own half, so taste and time both matter."""
    chance = random.Random(seed)
    rows = []
    for user in range(users):
        for _ in range(chance.choice((3, 12, 40))):
            hour = chance.uniform(0, hours)
            item = int(max(0.0, hour - chance.expovariate(0.5)) * 4) * 2 + (
                user % 2 if chance.random() < 0.9 else 1
            )
            rows.append((user, item, hour))
    return events(rows)


def lists_of(split: Split, rows: dict[int, list[int]]) -> np.ndarray:
    """Return lists by raw keys of users and items."""
    numbers = {key: number for number, key in enumerate(split.events.item_keys.tolist())}
    found = np.full((len(split.viewers), DEPTH), -1, np.int32)
    for row, viewer in enumerate(split.viewers.tolist()):
        wanted = rows[int(split.events.user_keys[viewer])]
        found[row, : len(wanted)] = [numbers[item] for item in wanted]
    return found


def test_targets_are_what_existed_and_was_liked_next() -> None:
    """At hour 10: user 1 has liked 5; likes 6 (known), 7 (nobody liked it before) and 5 again; 2 has no history."""
    known = events([(1, 5, 1), (3, 6, 2), (1, 6, 11), (1, 7, 12), (1, 5, 13), (2, 5, 11), (3, 5, 19)])
    split = split_at(known, 10 * HOUR_US, 6.0, None, RNG)
    assert known.user_keys[split.viewers].tolist() == [1]
    assert known.item_keys[split.targets.columns].tolist() == [6]
    assert known.item_keys[split.liked.columns].tolist() == [5]
    assert split.activity.tolist() == [1]


def test_measures_by_hand() -> None:
    """Two targets, 6 and 8; the list has 6 at place 2 and 8 at place 4: gains 1/log2(3) + 1/log2(5)."""
    known = events([(1, 5, 0), (3, 6, 1), (3, 8, 9.5), (3, 9, 9.6), (4, 9, 9.7), (1, 6, 11), (1, 8, 12)])
    split = split_at(known, 10 * HOUR_US, 6.0, None, RNG)
    found = measure(split, lists_of(split, {1: [9, 6, 5, 8]})).values[0]
    gain = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    # Likes in the day: 5, 6, 8 once, 9 twice: percentiles 75, 75, 75, 100. 8 and 9 are under an hour old.
    # All have few likers, and one list has no stranger's beside it.
    expected = [1.0, gain, 0.5, 1.0, (75 * 3 + 100) / 4, np.nan, 0.5, 1.0, np.nan]
    assert found == pytest.approx(expected, nan_ok=True)
    nothing = measure(split, np.full((1, DEPTH), -1, np.int32)).values[0]
    assert nothing[:4].tolist() == [0, 0, 0, 0]


def test_tuning_never_reads_a_reported_window() -> None:
    known = communities()
    earlier, later = (list(rolling(known, 3, 4.0, part, None, 1)) for part in (TUNING, REPORTED))
    assert max(split.at_us for split in earlier) + 4 * HOUR_US <= min(split.at_us for split in later)
    for quantiles in (TUNING, REPORTED):
        found = moments(known, 3, 4.0, quantiles)
        assert all(b - a >= 4 * HOUR_US for a, b in pairwise(found))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.needs_implicit])
def test_no_method_sees_the_future_or_lists_what_is_liked(name: str) -> None:
    """Lists stay the same when everything after the moment is removed."""
    known, method = communities(), METHODS[name]
    split = split_at(known, 60 * HOUR_US, 6.0, None, RNG)
    lists = method.lists(split, method.start, 1.0)
    past = replace(
        known,
        users=known.users[: split.cut],
        items=known.items[: split.cut],
        times_us=known.times_us[: split.cut],
    )
    assert np.array_equal(lists, method.lists(replace(split, events=past), method.start, 1.0))
    for row in range(len(split.viewers)):
        listed = lists[row][lists[row] >= 0].tolist()
        liked = split.liked.columns[split.liked.starts[row] : split.liked.starts[row + 1]].tolist()
        assert len(set(listed)) == len(listed) and not set(listed) & set(liked)
        assert split.exists[listed].all()


@pytest.mark.skipif(not classical.available(), reason="the extra evaluate (implicit) is not installed")
@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_implicit])
def test_the_packages_methods_find_taste(name: str) -> None:
    split = split_at(communities(), 60 * HOUR_US, 6.0, None, RNG)
    lists = METHODS[name].lists(split, {**METHODS[name].start, "fresh_hours": 12.0}, 1.0)
    assert measure(split, lists).values[:, 0].mean() > 0.3


def test_limits_of_age_count_from_an_items_first_event() -> None:
    """Of an item that is too old by its first event, and one that is not, the default as shipped lists only this."""
    now = int(Ranking().post_max_age_hours) + 16
    rows = [(1, 7, 1.0), (1, 8, 50.0), (9, 6, now - 7.0), (9, 5, now + 1.0), (8, 5, now - 12.0)]
    rows += [(user, item, now - 2 + user / 100) for user in range(20, 40) for item in (6, 7, 8)]
    known = events(rows)
    assert known.created_us[known.item_keys.tolist().index(7)] == HOUR_US
    split = split_at(known, now * HOUR_US, 6.0, None, RNG)
    found = {}
    for name in ("foryou-default", "foryou-ageless"):
        lists = METHODS[name].rank(split, DEPTH, **METHODS[name].start)
        found[name] = set(known.item_keys[lists[lists >= 0]].tolist())
    assert 8 in found["foryou-default"] and 7 not in found["foryou-default"]
    assert {7, 8} <= found["foryou-ageless"]
    assert METHODS["foryou-default"].start == {"base": Ranking()}
    assert "as shipped" in METHODS["foryou-default"].about


def test_tuning_finds_the_better_value_and_reports_every_trial() -> None:
    splits = [split_at(communities(), hour * HOUR_US, 6.0, None, RNG) for hour in (40, 50)]
    reported: list[Trial] = []
    best = tune(METHODS["popular"], splits, 1.0, reported.append)
    assert len(reported) >= 8
    won = next(trial for trial in reported if trial.parameters == best)
    start = reported[0]
    assert won.beats(start) or won is start
    assert not any(trial.beats(start) for trial in reported if trial.objective > won.objective)
    fixed = Method("fixed", "", METHODS["popular"].rank, {"hours": 2.0})
    assert tune(fixed, splits, 1.0, reported.append) == {"hours": 2.0}


def test_tuning_moves_parameters_together_and_begins_at_the_best_start() -> None:
    """Two parameters that help only together: neither alone is better than the start."""
    split = split_at(communities(), 50 * HOUR_US, 6.0, None, RNG)

    def both(split: Split, keep: int, *, one: int, two: int) -> np.ndarray:
        hours = {(0, 0): 12.0, (1, 1): 1.0, (2, 2): 2.0}.get((one, two), 48.0)
        return METHODS["popular"].rank(split, keep, hours=hours)

    reported: list[Trial] = []
    method = Method("both", "", both, {"one": 0, "two": 0}, {("one", "two"): ((1, 0), (1, 1), (2, 2))})
    best = tune(method, [split], 1.0, reported.append)
    assert best == max(reported, key=lambda trial: trial.objective).parameters
    assert best["one"] == best["two"] > 0
    reported.clear()
    assert tune(replace(method, grid={}, starts=(best,)), [split], 1.0, reported.append) == best
    assert len(reported) == 2  # the start and the other start, none twice


def test_the_cache_of_a_split_changes_no_list() -> None:
    split = split_at(communities(), 50 * HOUR_US, 6.0, None, RNG)
    rank = METHODS["foryou"].rank
    sets = [{"max_neighbours": 20}, {"max_neighbours": 20, "crowd_weight": 2.0}, {"overlap_exponent": 1.5}]
    again = [rank(split, DEPTH, base=Ranking(), **changes) for changes in sets]
    for changes, lists in zip(sets, again, strict=True):
        assert np.array_equal(lists, rank(replace(split, cache={}), DEPTH, base=Ranking(), **changes))
    assert not np.array_equal(again[0], again[1])


def test_the_crowd_stands_for_the_co_likers_left_out() -> None:
    """With every co-liker a neighbour nothing is left out, so the crowd weighs nothing; with few neighbours it does."""
    split = split_at(communities(), 50 * HOUR_US, 6.0, None, RNG)
    quiet = replace(
        Ranking(), crowd_weight=0.0, left_out_weight=0.0, newcomer_hours=0.0, overlap_exponent=1.0
    )
    everybody = {"max_neighbours": 1000, "max_seed_likers": 1_000_000}
    alone, with_crowd = (
        ours.rank(split, DEPTH, replace(quiet, **everybody, left_out_weight=weight)) for weight in (0.0, 1.0)
    )
    assert np.array_equal(alone, with_crowd)
    quiet, with_crowd = (
        ours.rank(split, DEPTH, replace(quiet, max_neighbours=3, left_out_weight=weight))
        for weight in (0.0, 1.0)
    )
    assert np.count_nonzero(with_crowd >= 0) > np.count_nonzero(quiet >= 0)


def test_an_interval_covers_the_truth_and_pairs_differences() -> None:
    """Of 200 samples the 95 % interval of the mean must miss in a few; a small constant lead is significant."""
    rng, missed = np.random.default_rng(5), 0
    for draw in range(200):
        values = rng.random((150, len(BY_VIEWER)))
        one = Measured(np.arange(150) // 2, np.full(150, 3), values, TOGETHER)
        two = replace(one, values=values + 0.01)
        found = summarise({"one": [one], "two": [two]}, "one", draw)["all"]
        missed += not found["one"]["recall"].low <= 0.5 <= found["one"]["recall"].high
        assert found["two"]["recall"].difference_low > 0
        if draw == 0:
            assert found["one"]["coverage"].mean == pytest.approx(0.1)
            assert set(summarise({"one": [one]}, "one", 1)) == {"all", "cold"}
    assert 2 <= missed <= 24


def windows_of(means: list[float], people: int = 400) -> list[Measured]:
    """The same people at every window, whose recalls are alike but for the window's mean."""
    spread = np.random.default_rng(2).normal(0, 0.1, people)
    spread -= spread.mean()
    return [
        Measured(
            np.arange(people), np.full(people, 3), np.tile((mean + spread)[:, None], len(BY_VIEWER)), TOGETHER
        )
        for mean in means
    ]


def test_another_week_is_as_wide_as_windows_differ() -> None:
    """Equal windows say no more than people do; one odd window of six makes the figure uncertain."""
    equal, odd = ({"one": windows_of(means)} for means in ([0.5] * 6, [0.5] * 5 + [0.9]))
    found = summarise(equal, "one", 1)["all"]["one"]["recall"]
    assert found.another_week is not None
    assert (found.another_week.low, found.another_week.high) == pytest.approx((found.low, found.high))
    found = summarise(odd, "one", 1)["all"]["one"]["recall"]
    assert found.another_week is not None
    width = found.another_week.high - found.another_week.low
    assert width > 5 * (found.high - found.low)
    # The standard error of the mean of six windows is .4 / 6; 1.96 of it on either side, roughly, for so odd a shape.
    assert 0.5 < width / (2 * 1.96 * 0.4 / 6) < 1.5
    assert found.another_week.low < 0.5667 < found.another_week.high
    assert summarise({"one": windows_of([0.5])}, "one", 1)["all"]["one"]["recall"].another_week is None


def test_a_lead_of_one_window_is_no_lead_in_another_week() -> None:
    """Ahead by .3 in one window of six: surely ahead of people's chance, not of the windows'. Ahead in all: of both."""
    for leads, sure in (([0.3] + [-0.01] * 5, False), ([0.02, 0.03, 0.02, 0.03, 0.02, 0.03], True)):
        base = [0.2, 0.5, 0.3, 0.6, 0.4, 0.5]
        ahead = [mean + lead for mean, lead in zip(base, leads, strict=True)]
        results = {"one": windows_of(base), "two": windows_of(ahead)}
        found = summarise(results, "one", 1)["all"]["two"]["recall"]
        assert found.difference_low > 0 and found.another_week is not None
        assert (found.another_week.difference_low > 0) == sure


def test_wrong_names_are_one_line() -> None:
    with pytest.raises(EvaluateError, match="unknown method 'best'"):
        chosen("best")
    for text in ("speed=1", "max_seeds=1.5", "max_seeds=0"):
        with pytest.raises(EvaluateError, match="--variant"):
            variant(text)
    assert variant("max_seeds=5,crowd_weight=0").start == {"max_seeds": 5, "crowd_weight": 0.0}


def frame_of(known: LikeEvents) -> pl.DataFrame:
    """Return likes as a file has them."""
    users, items = known.user_keys[known.users], known.item_keys[known.items]
    return pl.DataFrame({"user": users, "item": items, "ts_ms": known.times_us // 1000})


def write(path: Path, known: LikeEvents) -> Path:
    frame_of(known).write_parquet(path)
    return path


def test_a_file_of_any_format_gives_the_same_events(tmp_path: Path) -> None:
    likes = frame_of(communities(users=20)).sample(fraction=1.0, shuffle=True, seed=1)
    likes.write_parquet(tmp_path / "likes.parquet")
    likes.write_csv(tmp_path / "likes.csv")
    likes.write_ndjson(tmp_path / "likes.jsonl")
    first, *others = (from_file(tmp_path / f"likes.{ending}") for ending in ("parquet", "csv", "jsonl"))
    assert np.all(np.diff(first.times_us) >= 0) and np.all(np.diff(first.created_us) <= 0)
    for other in others:
        for name in ("users", "items", "times_us", "user_keys", "item_keys", "created_us"):
            assert np.array_equal(getattr(first, name), getattr(other, name))


def test_the_command_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "likes of <b>.parquet", communities(users=120))
    arguments = ["evaluate", str(path), "--windows", "2", "--window-hours", "4", "--tuning-users", "20"]
    arguments += ["--methods", "for-you-formula,user-cosine", "--variant", "crowd_weight=0"]
    outputs = []
    for turn in ("a", "b"):
        files = {kind: tmp_path / f"{turn}.{kind}" for kind in ("json", "html", "log")}
        flags = [part for kind, file in files.items() for part in (f"--{kind}", str(file))]
        assert cli.main([*arguments, *flags]) == 0
        report = json.loads(files["json"].read_text())
        outputs.append((report["summary"], report["parameters"]))
    assert outputs[0] == outputs[1]  # the same seed, the same figures
    summary = outputs[0][0]
    assert set(summary["all"]) == {"foryou", "popular", "for-you-formula", "user-cosine", "crowd_weight=0"}
    assert summary["all"]["foryou"]["recall"]["mean"] > summary["all"]["popular"]["recall"]["mean"]
    printed = capsys.readouterr()
    assert "recall@30" in printed.out and "parameters chosen on" in printed.out
    first, *lines = printed.out.splitlines()
    assert first.startswith("Evaluation of the set 'likes of <b>': ")
    # Viewers and their lists are counted apart, and every measure of the table is explained.
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["viewers"]["all"] < report["viewer_moments"]["all"] <= 2 * report["viewers"]["all"]
    counts = report["viewers"]["all"], report["viewer_moments"]["all"]
    assert f"all viewers: {counts[0]} viewers at 2 moments, {counts[1]} viewer-moments (a list each)" in lines
    # What another week may bring stands beside what people's chance may, in every form of the report.
    week = summary["all"]["popular"]["ndcg"]["another_week"]
    assert week["low"] < summary["all"]["popular"]["ndcg"]["mean"] < week["high"]
    titles = [line.split() for line in lines if line.startswith("method ")]
    assert all(
        " ".join(row).startswith("method recall@30 another week NDCG@30 another week") for row in titles
    )
    pages = next(place for place, line in enumerate(lines) if line.startswith("first pages  "))
    assert "in common" in lines[pages] and "few likers" in lines[pages]
    assert {line.split()[0] for line in lines[pages + 1 : pages + 6]} == set(summary["all"])
    for item in set(TITLES) & set(summary["all"]["foryou"]):
        assert any(line.startswith(TITLES[item] + ":") and MEANINGS[item] in line for line in lines)
    assert "moments to tune on" in printed.err
    page = (tmp_path / "a.html").read_text()
    assert "Evaluation of the set “likes of &lt;b&gt;”" in page and "<b>" not in page
    assert all(f"<dt>{TITLES[item]}</dt><dd>{MEANINGS[item]}</dd>" in page for item in ("recall", "coverage"))
    assert page.count("<th>another week</th>") == 2 * len(summary)
    assert page.count("<th>first pages</th>") == page.count("<th>in common</th>") == len(summary)
    assert page.count("<svg") >= 4 and "http" not in page and "prefers-color-scheme: dark" in page
    lines = [json.loads(line) for line in (tmp_path / "a.log").read_text().splitlines()]
    assert {"tuning", "reported"} == {line["stage"] for line in lines}
    assert all({"date", "set", "method", "parameters", "recall", "ndcg"} <= set(line) for line in lines)


def test_an_empty_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--data-dir", str(tmp_path / "empty")]) == 1
    assert "no likes yet" in capsys.readouterr().err


DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.mark.skipif(not (DATA / "retweets.parquet").exists(), reason="needs ../shared/data/retweets.parquet")
def test_a_real_set_reads_and_splits() -> None:
    known = from_file(DATA / "retweets.parquet")
    assert (known.user_count, known.item_count, len(known.users)) == (12_627, 3_454, 135_472)
    assert np.all(np.diff(known.created_us) <= 0)
    split = next(rolling(known, 2, 6.0, REPORTED, 50, 1))
    lists = METHODS["foryou-default"].lists(split, METHODS["foryou-default"].start, 0.25)
    assert measure(split, lists).values[:, 0].mean() > 0.3


def test_moments_lie_where_posts_are_known() -> None:
    """Of ninety days of likes the posts of the last five are known: all moments are there, and tuning has some."""
    rng = np.random.default_rng(3)
    hours = np.sort(rng.uniform(0, 90 * 24, 20_000))
    items = (hours // 6).astype(np.int64)
    likes = {
        "user": rng.integers(0, 50, len(hours)),
        "item": items,
        "time_us": (hours * HOUR_US).astype(np.int64),
    }
    known = numbered("store", pl.DataFrame(likes))
    recent = replace(known, allowed=known.created_us > 85 * 24 * HOUR_US)
    earlier, later = (list(rolling(recent, 3, 6.0, part, None, 1)) for part in (TUNING, REPORTED))
    assert earlier and later
    assert min(split.at_us for split in earlier) > 85 * 24 * HOUR_US
    assert moments(replace(known, allowed=np.zeros(known.item_count, np.bool_)), 3, 6.0, TUNING) == []


@pytest.mark.parametrize("name", ["foryou", "vmis-knn", "popular-decayed"])
def test_windows_side_by_side_give_the_same_trials(name: str) -> None:
    """Three moments share what is kept of the past; whoever ranks first changes no figure."""
    known = communities(users=120)
    figures = []
    for method in (METHODS[name], replace(METHODS[name], one_by_one=True)):
        known.cache.clear()
        splits = [split_at(known, hour * HOUR_US, 6.0, None, RNG) for hour in (40, 50, 60)]
        reported: list[Trial] = []
        best = tune(method, splits, 1.0, reported.append, 8)
        figures.append((best, [(trial.parameters, trial.by_window) for trial in reported]))
    assert figures[0] == figures[1]


def test_a_number_of_trials_bounds_tuning() -> None:
    splits = [split_at(communities(), 50 * HOUR_US, 6.0, None, RNG)]
    for most in (0, 1, 2, 5):
        reported: list[Trial] = []
        best = tune(METHODS["foryou"], splits, 1.0, reported.append, most)
        assert len(reported) == most
        assert most > 1 or best == METHODS["foryou"].start


def test_a_gain_of_one_window_alone_changes_nothing() -> None:
    """Which of two is better on the mean of the windows, and in nearly each of them, may differ."""
    base = Trial("one", {}, 0.3, 0.2, (0.5, 0.5, 0.5, 0.5, 0.5))
    lucky = Trial("one", {"a": 1}, 0.32, 0.2, (0.62, 0.49, 0.5, 0.49, 0.5))
    better = Trial("one", {"a": 2}, 0.31, 0.2, (0.51, 0.52, 0.5, 0.51, 0.51))
    assert lucky.objective > better.objective
    assert not lucky.beats(base)
    seldom = Trial("one", {"a": 3}, 0.36, 0.2, (0.66, 0.64, 0.49, 0.499, 0.499))
    assert seldom.objective > better.objective and not seldom.beats(base)
    assert better.beats(base) and not base.beats(better)
