"""Methods of one's own: functions of (history, moment) in a file, measured beside those that are shipped."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evaluation_sets import movielens, texts

from pipeline import cli
from pipeline.evaluate.event_files import from_file
from pipeline.evaluate.like_events import EvaluateError, LikeEvents, numbered
from pipeline.evaluate.measures import DEPTH
from pipeline.evaluate.methods.own_methods import own_methods
from pipeline.evaluate.methods.popularity import popular_lists
from pipeline.evaluate.splits import Split, split_at
from pipeline.store.model import HOUR_US

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
POPULAR = '''
"""Popular posts, as somebody would write it who has seen none of our code."""
from datetime import timedelta

import polars as pl

TRIES = {"hours": (2.0, 6.0, 24.0)}


def most_liked(history, moment, hours=6.0):
    """What was liked most in the last hours."""
    recent = history.filter(pl.col("time") > moment.time - timedelta(hours=hours))
    # A tie goes to the newer item, then to the smaller.
    counts = recent.group_by("item").len("score").join(moment.items, on="item")
    best = counts.sort("score", "made", "item", descending=[True, True, False])["item"].to_list()
    return {user: best for user in moment.users}


def by_score(history, moment):
    """The same as a frame with scores, in any order."""
    recent = history.filter(pl.col("time") > moment.time - timedelta(hours=6))
    counts = recent.group_by("item").len("score").join(moment.items, on="item")
    counts = counts.sort("score", "made", "item", descending=[True, True, False])
    return moment.users.to_frame().join(counts, how="cross").sample(fraction=1.0, shuffle=True, seed=1)


def _not_a_method(history, moment):
    raise AssertionError
'''


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def split_of(events: LikeEvents, hours: float = 60) -> Split:
    return split_at(events, int(events.times_us[0]) + int(hours * HOUR_US), 6.0, None, RNG)


@pytest.mark.parametrize("make", [movielens, texts])
def test_the_same_idea_gets_the_same_lists_as_ours(make: object, tmp_path: Path) -> None:
    """``most_liked`` is our baseline ``popular``, for ids that are numbers and that are texts."""
    split = split_of(from_file(make(tmp_path / "likes")))  # type: ignore[operator]
    by_score, most_liked = own_methods(written(tmp_path / "mine.py", POPULAR))
    assert [by_score.name, most_liked.name] == ["by_score", "most_liked"]
    assert most_liked.about == "What was liked most in the last hours."
    assert (dict(most_liked.start), dict(most_liked.grid)) == ({"hours": 6.0}, {"hours": (2.0, 6.0, 24.0)})
    ours = popular_lists(split, DEPTH, hours=6.0)
    assert (ours >= 0).sum() > 100
    assert np.array_equal(most_liked.rank(split, DEPTH, hours=6.0), ours)
    found = by_score.rank(split, DEPTH)
    assert found.shape == ours.shape and (found >= 0).sum() == (ours >= 0).sum()


def test_a_method_gets_the_past_and_nothing_else(tmp_path: Path) -> None:
    """It writes down what it got; its lists are passed over where the rules forbid them."""
    text = """
SEEN = []
def greedy(history, moment):
    SEEN.append((history, moment))
    mine = history.group_by("user").agg(pl.col("item").first())
    user = moment.users[0]
    liked = history.filter(pl.col("user") == user)["item"].to_list()
    fresh = [item for item in moment.items["item"].to_list() if item not in liked]
    return {user: [*liked, -5, fresh[0], fresh[0], fresh[1]], -77: [fresh[0]]}
import polars as pl
"""
    rows = [(n % 20, n % 33, n * HOUR_US // 9) for n in range(900)] + [(3, 999, 99 * HOUR_US)]
    events = numbered("hand", pl.DataFrame(rows, ["user", "item", "time_us"], orient="row"))
    split = split_of(events)
    (method,) = own_methods(written(tmp_path / "greedy.py", text))
    lists = method.rank(split, DEPTH)
    ((history, moment),) = sys.modules["own_methods_greedy"].SEEN
    assert history["time"].max() <= moment.time and len(history) == split.cut
    assert history["time"].is_sorted()
    assert moment.users.to_list() == events.user_keys[split.viewers].tolist()
    assert 999 not in moment.items["item"].to_list()  # it did not exist
    listed = events.item_keys[lists[0][lists[0] >= 0]].tolist()
    assert len(listed) == 2 and not set(listed) & set(
        events.item_keys[split.liked.columns[: split.liked.starts[1]]]
    )
    assert (lists[1:] < 0).all()


def test_a_stores_posts_have_authors_and_nobody_gets_their_own(tmp_path: Path) -> None:
    """Keys of a store name no post alone, so posts are numbers; user n made item n."""
    rows = [(n % 20, n % 33, n * HOUR_US // 9) for n in range(900)]
    events = numbered("store", pl.DataFrame(rows, ["user", "item", "time_us"], orient="row"))
    owners = np.where(events.item_keys < 20, events.item_keys, -1).astype(np.int32)
    split = split_of(replace(events, authors=(events.item_keys % 7).astype(np.int32), owners=owners))
    text = """
def by_author(history, moment):
    best = moment.items.sort("author", "item")["item"].to_list()
    return {user: best for user in moment.users}
"""
    (method,) = own_methods(written(tmp_path / "mine.py", text))
    lists = method.rank(split, DEPTH)
    assert (lists >= 0).any()
    for row, viewer in enumerate(split.viewers.tolist()):
        listed = lists[row][lists[row] >= 0]
        assert np.all(np.diff(events.item_keys[listed] % 7) >= 0)
        assert events.user_keys[viewer] not in events.item_keys[listed]


def test_a_file_of_methods_at_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    likes, mine = movielens(tmp_path / "ratings.csv"), written(tmp_path / "mine.py", POPULAR)
    arguments = ["evaluate", str(likes), "--windows", "2", "--methods", "popular", "--method", str(mine)]
    arguments += ["--tuning-users", "20", "--trials", "4", "--json", str(tmp_path / "report.json")]
    assert cli.main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["summary"]["all"]) == {"foryou", "popular", "most_liked", "by_score"}
    assert report["parameters"]["most_liked"]["hours"] in (2.0, 6.0, 24.0)
    assert {trial["method"] for trial in report["trials"]} >= {"most_liked", "by_score"}
    assert report["about"]["by_score"] == "The same as a frame with scores, in any order."
    assert "most_liked" in capsys.readouterr().out


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for method in own_methods(written(tmp_path / "example.py", example)):
        lists = method.rank(split_of(from_file(texts(tmp_path / "likes.parquet"))), DEPTH, **method.start)
        assert (lists >= 0).sum() > 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(a, b): pass", "has no function whose first parameters are history and moment"),
        ("def f(history, moment, size): pass", "f's parameter size needs a default"),
        ("def popular(history, moment): pass", "popular is the name of a method that is shipped"),
        ("TRIES = {'hours': (1,)}\ndef f(history, moment): pass", "TRIES names hours: no function has it"),
        ("x = 1\ny = x +", "line 2: SyntaxError"),
        ("import no_such_thing", "line 1: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=re.escape(words)):
        own_methods(written(tmp_path / "mine.py", text))
    with pytest.raises(EvaluateError, match="no file"):
        own_methods(tmp_path / "absent.py")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(history, moment):\n    return 1 / 0", "line 2: ZeroDivisionError: division by zero"),
        ("def f(history, moment):\n    return [1, 2]", "f must return {user: [item, item, …]}"),
        (
            "def f(history, moment):\n    return {user: ['x'] for user in moment.users}",
            "none of them a known item",
        ),
    ],
)
def test_what_a_method_does_wrong_is_said_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    split = split_of(from_file(texts(tmp_path / "likes.parquet")))
    (method,) = own_methods(written(tmp_path / "mine.py", text))
    with pytest.raises(EvaluateError, match=re.escape(words)):
        method.rank(split, DEPTH)
