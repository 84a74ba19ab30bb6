"""Experiments: who is in which variant, lists by a variant's parameters, and what is said of them afterwards."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_batch_feeds import settings_of
from test_batch_tiers import lists_of as lists_by_did
from worlds import World

from pipeline import cli
from pipeline.batch import jobs
from pipeline.errors import SettingError
from pipeline.explore.explain_command import explain, explain_from
from pipeline.explore.explain_text import as_text
from pipeline.explore.generation_inputs import GenerationInputs
from pipeline.feeds import CONTROL, feeds_of, variant_number
from serving.feed.paging import PageRequest, page_of
from serving.lists.list_store import ListStore
from sql.sqlite import connect

SPLIT = """
[experiments.age.young]
share = 0.3
half_life_hours = 0.5
[experiments.age.old]
share = 0.3
half_life_hours = 2000
list_length = 5
[ranking]
crowd_weight = 0.0
left_out_weight = 0.0
"""
PEOPLE = [f"p{i}" for i in range(24)]


def town(now_us: int | None = None) -> World:
    """Everybody shares two likes; three writers' ten posts are liked, the older the more, so that age matters."""
    made = World() if now_us is None else World(now_us)
    for name in PEOPLE:
        made.like(name, "s1", hours_ago=30).like(name, "s2", hours_ago=29)
    for i in range(10):
        made.post(f"q{i}", by=f"w{i % 5}", hours_ago=i + 1)
        for liker in range(i + 1):
            made.like(f"l{liker}", f"q{i}", hours_ago=0.5)
    for liker in range(10):
        made.like(f"l{liker}", "s1", hours_ago=31).like(f"l{liker}", "s2", hours_ago=31)
    return made


def variant_of_viewer(name: str) -> str:
    number = variant_number("age", f"did:plc:{name}")
    return "young" if number < 0.3 else "old" if number < 0.6 else CONTROL


def served(data_dir: Path, viewer: str) -> tuple[list[str], str]:
    """Return the posts of the page that a viewer is served, and the variant its impression carries."""
    with ListStore(data_dir / "serving.sqlite").read() as snapshot:
        assert snapshot is not None
        page = page_of(snapshot, PageRequest("for-you", f"did:plc:{viewer}", (), 100))
    return [entry.uri for entry in page.entries], page.variant


def lists_of(data_dir: Path) -> dict[str, list[tuple[str, float, int, int]]]:
    """Return everybody's newest list, by name."""
    return {did.removeprefix("did:plc:"): items for did, items in lists_by_did(data_dir).items()}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("split")
    town().write(tmp_path / "data")
    jobs.run(settings_of(tmp_path, SPLIT), "all")
    return tmp_path


def test_the_split_is_stable_and_fair() -> None:
    numbers = [variant_number("age", f"did:plc:{i}") for i in range(10_000)]
    assert variant_number("age", "did:plc:ewvi7nxzyoun6zhxrhs64oiz") == pytest.approx(0.1245469, abs=1e-6)
    assert all(0 <= number < 1 for number in numbers)
    for low in (0.0, 0.3, 0.9):
        assert sum(low <= number < low + 0.1 for number in numbers) == pytest.approx(1000, abs=100)
    both = [
        (variant_number("age", f"did:plc:{i}") < 0.5, variant_number("size", f"did:plc:{i}") < 0.5)
        for i in range(10_000)
    ]
    assert sum(one and other for one, other in both) == pytest.approx(
        2500, abs=150
    )  # independent of each other


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[experiments.a]\nfeed = 'other'\n[experiments.a.b]\nshare = 0.1",
            "feed = 'other': expected one of for-you",
        ),
        ("[experiments.a]", "[experiments.a] needs a table a variant"),
        (
            "[experiments.a.b]\nhalf_life_hours = 3",
            "[experiments.a.b] share = None: must be a number above 0",
        ),
        ("[experiments.a.b]\nshare = 1.5", "[experiments.a.b] share = 1.5"),
        ("[experiments.a.b]\nshare = 0.6\n[experiments.a.c]\nshare = 0.6", "shares up to 1 in all"),
        ("[experiments.a.control]\nshare = 0.6", "[experiments.a.control] must be a table"),
        ("[experiments.a.b]\nshare = 0.1\nhalflife = 1", "[experiments.a.b] unknown parameter halflife"),
        ("[experiments.a.b]\nshare = 0.1\nmax_seeds = 1", "max_seeds is the same in all variants"),
        (
            "[experiments.a.b]\nshare = 0.1\n[experiments.c.d]\nshare = 0.1",
            "[experiments.c] feed = 'for-you': [experiments.a] is already on this feed",
        ),
    ],
)
def test_a_wrong_table_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        feeds_of(settings_of(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variants_viewers_get_what_its_parameters_alone_would_give(split: Path, tmp_path: Path) -> None:
    found = lists_of(split / "data")
    assert {variant_of_viewer(name) for name in PEOPLE} == {"young", "old", CONTROL}
    changes = {
        "young": "half_life_hours = 0.5",
        "old": "half_life_hours = 2000\nlist_length = 5",
        CONTROL: "",
    }
    lists = {}
    for variant, change in changes.items():
        town().write(tmp_path / variant / "data")
        no_crowd = "[ranking]\ncrowd_weight = 0.0\nleft_out_weight = 0.0\n"
        jobs.run(settings_of(tmp_path / variant, f"{no_crowd}{change}\n"), "all")
        alone = lists_of(tmp_path / variant / "data")
        theirs = [name for name in found if variant_of_viewer(name) == variant]
        assert theirs
        for name in theirs:
            assert found[name] == alone[name]
            lists[variant] = [item[0] for item in found[name]]
    assert len({tuple(posts) for posts in lists.values()}) == 3


def test_the_page_that_is_served_carries_the_variant(split: Path) -> None:
    for name in PEOPLE[:12]:
        posts, variant = served(split / "data", name)
        assert posts
        assert variant == f"age/{variant_of_viewer(name)}"
    posts, variant = served(split / "data", "stranger")  # what is popular is of no variant
    assert posts
    assert variant == ""


def test_whoever_set_something_is_in_no_experiment_and_whoever_pauses_has_no_list(tmp_path: Path) -> None:
    young, old, control, paused = (
        next(name for name in PEOPLE if variant_of_viewer(name) == variant and name != other)
        for variant, other in (("young", ""), ("old", ""), (CONTROL, ""), ("young", _first("young")))
    )
    own = {young: False, old: False, control: False, paused: True}
    found = {}
    for folder, text in (("split", SPLIT), ("usual", SPLIT[SPLIT.index("[ranking]") :])):
        (tmp_path / folder).mkdir()
        data_dir = tmp_path / folder / "data"
        town().visit(young).write(data_dir)
        with closing(connect(data_dir / "activity.sqlite")) as activity:
            rows = [(f"did:plc:{name}", pauses) for name, pauses in own.items()]
            activity.executemany("INSERT INTO viewer_settings VALUES (?, '', 1, ?, '{}', 0)", rows)
        settings = settings_of(tmp_path / folder, text)
        jobs.run(settings, "all")
        found[folder] = lists_of(data_dir)
        assert paused not in found[folder]
        jobs.run(settings, "candidates", viewers="recent")
        assert lists_of(data_dir) == found[folder]
    split, usual = found["split"], found["usual"]
    assert {name for name in own if split.get(name) == usual.get(name)} == own.keys()
    assert split[young] != split[_second("young", {young, paused})]


def _first(variant: str) -> str:
    return _second(variant, set())


def _second(variant: str, others: set[str]) -> str:
    return next(name for name in PEOPLE if variant_of_viewer(name) == variant and name not in others)


def test_who_waits_gets_a_list_of_their_variant(split: Path) -> None:
    data = split / "data"
    before = {name: served(data, name) for name in PEOPLE}
    serving = connect(data / "serving.sqlite")
    serving.execute("DELETE FROM lists")
    serving.close()
    made = town()
    for name in PEOPLE:
        made.visit(name)
    made.write(data)
    jobs.run(settings_of(split, SPLIT), "all", lambda: made.now_us / 1e6 + 1, "waiting")
    assert {name: served(data, name) for name in PEOPLE} == before


def test_who_was_seen_lately_gets_what_a_run_for_all_gives(split: Path, tmp_path: Path) -> None:
    made = town()
    for name in PEOPLE[::2]:
        made.visit(name)
    data = made.write(tmp_path / "data")
    start = made.now_us / 1e6
    jobs.run(settings_of(tmp_path, SPLIT), "all", lambda: start)
    wanted = lists_of(data)
    serving = connect(data / "serving.sqlite")
    serving.execute("DELETE FROM lists")
    serving.close()
    jobs.run(settings_of(tmp_path, SPLIT), "candidates", lambda: start + 1, "recent")
    assert lists_of(data) == {name: wanted[name] for name in wanted if name in PEOPLE[::2]}
    assert {served(data, name)[1] for name in PEOPLE[::2]} == {"age/young", "age/old", "age/control"}


def test_an_ended_experiment_leaves_no_trace_after_the_next_run(tmp_path: Path) -> None:
    town().write(tmp_path / "data")
    jobs.run(settings_of(tmp_path, SPLIT), "all")
    jobs.run(settings_of(tmp_path, "[ranking]\ncrowd_weight = 0.0\nleft_out_weight = 0.0\n"), "candidates")
    assert {served(tmp_path / "data", name)[1] for name in PEOPLE} == {""}
    lengths = {len(served(tmp_path / "data", name)[0]) for name in PEOPLE}
    assert lengths == {10}


def test_a_list_that_stays_the_same_still_changes_its_variant(tmp_path: Path) -> None:
    """The parameters are the control's, so the posts are; the page must still say whose viewer it is."""
    town().write(tmp_path / "data")
    jobs.run(settings_of(tmp_path, ""), "all")
    jobs.run(settings_of(tmp_path, "[experiments.age.young]\nshare = 0.3\n"), "candidates")
    for name in PEOPLE:
        assert (
            served(tmp_path / "data", name)[1]
            == f"age/{'young' if variant_of_viewer(name) == 'young' else CONTROL}"
        )


def test_explain_has_the_variants_numbers_and_name(split: Path, tmp_path: Path, capsys: Any) -> None:
    town().write(tmp_path / "data")
    jobs.run(settings_of(tmp_path, SPLIT), "all")
    found = lists_of(tmp_path / "data")
    with closing(
        GenerationInputs(tmp_path / "data", 1)
    ) as inputs:  # one for all, as the web app's command is not
        for name in PEOPLE:
            told = explain_from(inputs, f"did:plc:{name}")
            assert told.variant == f"age/{variant_of_viewer(name)}"
            assert [(row["post_uri"], pytest.approx(row["score"], rel=1e-5)) for row in told.listed] == [
                item[:2] for item in found[name]
            ]
            scores = {row["post_uri"]: row["score"] for row in told.scored}
            for post, score, *_ in found[name]:
                assert scores[post] == pytest.approx(score, rel=1e-5)
    old = next(name for name in PEOPLE if variant_of_viewer(name) == "old")
    assert "variant     age/old: " in as_text(explain(tmp_path / "data", 1, f"did:plc:{old}"))
    arguments = ["explain", f"did:plc:{old}", "--why", "--data-dir", str(tmp_path / "data")]
    cli.main(arguments)
    assert "variant     age/old" in capsys.readouterr().out
