"""A process that explains one list after another says what a fresh one says, and ends when nobody needs it."""

import json
import os
import random
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from batch_tools import settings_for
from serving_worlds import config_of
from test_serving_why import _configured, _world
from worlds import World

from pipeline.batch import jobs
from pipeline.errors import PipelineError
from pipeline.explore import viewer_inputs
from pipeline.explore.explain_requests import OpenViewers
from pipeline.explore.list_reasons import why
from pipeline.store.analyst_snapshot import LIST_DEGREES, copy_of, current_snapshot
from serving.pages.explainer import Explainer, ExplainingError

RECIPES: list[dict[str, float | str]] = [
    {},
    {"half_life_hours": 900, "like_decay_hours": 20},
    {"max_neighbours": 1},
    {"max_per_author": 1, "author_spacing": 0},
    {"media": 8},
    {"language": "de"},
    {"crowd_weight": 3, "left_out_weight": 3, "popularity_exponent": 1},
    {"days_ago": "0"},
]


def _town() -> World:
    """Its _world, with more people of other tastes, posts with media and languages, and answers."""
    made, draw = _world(), random.Random(5)
    for number in range(30):
        flags, langs = draw.choice((0, 8, 16)), draw.choice(("", "en", "de"))
        made.post(f"r{number}", by=f"writer{number % 7}", hours_ago=1 + number / 2, langs=langs, flags=flags)
    for number in range(20):
        name = f"liker{number}"
        for seed in draw.sample(("old1", "old2", "old3"), 2):
            made.like(name, seed, hours_ago=50 + number / 10)
        for post in draw.sample(range(30), 9):
            made.like(name, f"r{post}", hours_ago=draw.uniform(0.1, 0.9))
    made.interaction("ann", "r3", "requestLess").interaction("ann", "r5", "interactionSeen")
    return made.interaction("bob", "r7", "pick").post("new", by="eve", hours_ago=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    made = _town()
    data_dir = made.write(tmp_path_factory.mktemp("requests"))
    jobs.run(settings_for(data_dir), "all")
    return data_dir, made


def _request(made: World, name: str, changes: dict[str, float | str], *, public: bool) -> dict[str, Any]:
    texts = [f"{key}={value}" for key, value in changes.items()]
    return {"viewer": made.did(name), "set": texts, "public": public}


def test_whatever_was_asked_before_an_answer_is_that_of_a_fresh_process(store: tuple[Path, World]) -> None:
    data_dir, made = store
    draw = random.Random(1)
    asked = [(name, public, changes) for name in ("ann", "bob", "liker3") for public in (True, False)
             for changes in RECIPES if not (public and "days_ago" in changes)]  # fmt: skip
    draw.shuffle(asked)
    viewers, lists = OpenViewers(data_dir, 1), set()
    for name, public, changes in asked:
        found = viewers.answer(_request(made, name, changes, public=public))
        assert found == why(data_dir, 1, made.did(name), changes, public=public), (name, public, changes)
        lists.add(json.dumps([post["post_uri"] for post in found["posts"]]))
    viewers.close()
    assert len(lists) > 12


def test_newer_lists_are_used_at_once(tmp_path: Path) -> None:
    made = _town()
    data_dir = made.write(tmp_path)
    jobs.run(settings_for(data_dir), "all")
    viewers = OpenViewers(data_dir, 1)
    before = viewers.answer(_request(made, "ann", {}, public=False))
    made.like("bob", "new", hours_ago=0.1).write(data_dir)
    assert viewers.answer(_request(made, "ann", {}, public=False)) == before, "no run has seen it"
    jobs.run(settings_for(data_dir), "all")
    after = viewers.answer(_request(made, "ann", {}, public=False))
    viewers.close()
    assert after["generation"] > before["generation"]
    assert made.uri("new") in {post["post_uri"] for post in after["posts"]}


def test_in_public_neighbours_are_found_without_a_full_pass_too(store: tuple[Path, World]) -> None:
    """By counting every like of all who may be one."""
    data_dir, made = store
    snapshot = current_snapshot(data_dir)
    assert snapshot is not None
    counted = copy_of(snapshot, LIST_DEGREES)
    found = {name: why(data_dir, 1, made.did(name), {}, public=True) for name in ("ann", "bob", "liker3")}
    counted.rename(hidden := counted.with_suffix(".hidden"))
    try:
        for name, expected in found.items():
            assert why(data_dir, 1, made.did(name), {}, public=True) == expected
    finally:
        hidden.rename(counted)
    assert all(len(each["posts"]) > 10 for each in found.values())


def test_a_mistake_is_an_answer_and_ends_nothing(store: tuple[Path, World]) -> None:
    data_dir, made = store
    viewers = OpenViewers(data_dir, 1)
    for request, text in (
        ({"viewer": "did:plc:nobody", "set": [], "public": True}, "nobody in the store"),
        (_request(made, "ann", {"half_life_hours": 0}, public=True), "half_life_hours"),
        (_request(made, "ann", {"list_length": 9}, public=True), "expected NAME=VALUE"),
        (_request(made, "ann", {"days_ago": "0"}, public=True), "only this machine"),
        (_request(made, "ann", {"days_ago": "3"}, public=False), "are kept"),
    ):
        with pytest.raises(PipelineError, match=text):
            viewers.answer(request)
    assert viewers.answer(_request(made, "ann", {}, public=True))["posts"]
    viewers.close()


def test_what_takes_too_much_is_an_answer_and_leaves_nothing(
    store: tuple[Path, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, made = store
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # where it was before
    viewers = OpenViewers(data_dir, 1)
    monkeypatch.setattr(viewer_inputs, "MEMORY_LIMIT", "2MiB")
    monkeypatch.setattr(viewer_inputs, "SPILL_MAX_SIZE", "0KiB")
    with pytest.raises(PipelineError, match="too many likes"):
        viewers.answer(_request(made, "ann", {}, public=True))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert viewers.answer(_request(made, "ann", {}, public=True))["posts"]
    viewers.close()


def test_the_command_answers_line_by_line_and_ends_with_its_input(store: tuple[Path, World]) -> None:
    data_dir, made = store
    config = _configured(data_dir)
    with subprocess.Popen(
        config.explain, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for changes in ({}, {"max_per_author": 1}, {"nonsense": 1}, {}):
            process.stdin.write(json.dumps(_request(made, "ann", changes, public=True)) + "\n")
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(60) == 0
    assert (
        answers[0] == answers[3] == json.loads(json.dumps(why(data_dir, 1, made.did("ann"), {}, public=True)))
    )
    assert len(answers[1]["posts"]) < len(answers[0]["posts"])
    assert "expected NAME=VALUE" in answers[2]["error"]


def test_the_web_app_keeps_one_process_and_replaces_one_that_ended(
    store: tuple[Path, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell counts how often the command is started."""
    data_dir, made = store
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    starts = tmp_path / "starts"
    command = _configured(data_dir).explain
    counted = ("/bin/sh", "-c", f'echo $$ >> {starts}; exec "$@"', "sh", *command)
    explainer = Explainer(config_of(tmp_path, explain=counted))

    def posts(most: int) -> int:
        return len(explainer.why(made.did("ann"), {"max_per_author": most}, client="", public=False)["posts"])

    assert posts(1) < posts(2) <= posts(3)
    with pytest.raises(ExplainingError, match="nobody in the store"):
        explainer.why("did:plc:nobody", {}, client="", public=False)
    assert len(starts.read_text().split()) == 1
    os.kill(int(starts.read_text()), signal.SIGKILL)
    assert posts(4) >= posts(3)
    assert len(starts.read_text().split()) == 2
    assert len(list(temporary.iterdir())) == 1, "what the first had is removed"
    explainer._kept.pop().close()


def test_a_command_that_does_not_start_or_says_nothing(tmp_path: Path) -> None:
    for command in (
        ("/no/such/command",),
        ("/bin/true",),
        ("/bin/sh", "-c", "read -r line; echo half; exit 1"),
    ):
        explainer = Explainer(config_of(tmp_path, explain=command))
        with pytest.raises(ExplainingError, match="can't be worked out"):
            explainer.why("did:plc:ann", {}, client="", public=False)
        assert not explainer._kept
