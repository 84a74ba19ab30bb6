"""Profiles that the stream never told, asked of an AppView: stored, bounded, and in force on the next page."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
from list_bytes import blob
from serving_worlds import ServingStore, plc_did
from streams import wait_until

from pipeline.ask_appview import NoAnswerError
from pipeline.backfill import author_profiles
from pipeline.backfill.author_profiles import levels_of
from pipeline.errors import BackfillError
from pipeline.identifiers import post_uri, tid_at
from pipeline.ingest.records import self_label_level
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from pipeline.store import who_is_due
from pipeline.store.events import EventBatch, Post, ProfileWord
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US
from pipeline.store.profile_requests import BEHIND_US, ProfileRequests
from pipeline.store.who_is_due import authors_to_ask_about
from serving.lists.removed_posts import RemovedPosts
from sql import places
from sql.sqlite import connect

NOW_US = time.time_ns() // 1000
RECORD = "app.bsky.actor.profile/self"


def rows(data_dir: Path, store: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(connect(places.store(data_dir, store), read_only=True)) as connection:
        return connection.execute(query, values).fetchall()


def withheld(data_dir: Path) -> dict[str, int]:
    """Return from whom pages withhold posts that lists name, by author's DID; 0 for nobody."""
    posts = rows(data_dir, "serving", "SELECT author_id, rkey, uri FROM posts")
    found = RemovedPosts(places.removals(data_dir)).withheld_among(
        [(author, rkey) for author, rkey, _ in posts]
    )
    return {uri.split("/")[2]: found.get((author, rkey), 0) for author, rkey, uri in posts}


def counted(data_dir: Path) -> dict[str, int]:
    query = "SELECT name, value FROM counters WHERE name IN ('profile_requested', 'profile_withholds')"
    return dict(rows(data_dir, "landing", query))


def listed(folder: Path, dids: Sequence[str]) -> Path:
    """Publish a list with a post of each, the later the more liked."""
    landing, store = Landing(folder), ServingStore(places.serving(folder))
    rkey = tid_at(NOW_US - DAY_US)
    posts = [Post(did, rkey, NOW_US, NOW_US, 0, "", 1) for did in dids]
    landing.append(EventBatch(posts=posts, newest_us=NOW_US), "host", "wire")
    landing.close()
    ids = dict(rows(folder, "landing", "SELECT did, actor_id FROM actors"))
    named = [
        (number + 1, ids[did], rkey, post_uri(did, rkey), 1, number, 1) for number, did in enumerate(dids)
    ]
    store.connection.executemany(
        "INSERT INTO posts (post_id, author_id, rkey, uri, created_us, likers, last_generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        named,
    )
    store.publish(1, {}, {"": blob(range(1, len(named) + 1))})
    store.close()
    return folder


def test_what_nobody_changed_is_known_once_the_schedule_asked(tmp_path: Path) -> None:
    with SimulatedNetwork(WorldParameters(users=300, days=0.1), speed=0) as network:
        people = network.world.people
        wants = {did: self_label_level(people.self_labels(number)) for did, number in people.number.items()}
        assert set(wants.values()) == {0, 1, 3}
        listed(tmp_path, sorted(wants))
        assert set(withheld(tmp_path).values()) == {0}
        env = commands.environment(tmp_path, appview_url=network.plc_url, ask_profiles="on")
        with commands.running("schedule", env=env, log=tmp_path / "schedule.log"):
            wait_until(lambda: counted(tmp_path).get("profile_requested", 0) == len(wants))
        hidden = {
            did
            for did, number in people.number.items()
            if network.world.hidden(np.array([number]), network.now_us())[0]
        }
    found = withheld(tmp_path)
    assert all(found[did] == level for did, level in wants.items() if did not in hidden)
    assert len(hidden) < 30
    assert authors_to_ask_about(tmp_path, time.time_ns() // 1000) == []


def label(did: str, val: object, **more: object) -> dict[str, object]:
    return {"src": did, "uri": f"at://{did}/{RECORD}", "val": val, **more}


def profile(did: str, *labels: object) -> dict[str, object]:
    return {"did": did, "handle": "x.example", "labels": list(labels)}


def test_only_what_an_author_says_counts():
    one, other = plc_did(1), plc_did(2)
    for labels, level in (
        ([], 0),
        ([label(one, "!no-unauthenticated")], 1),
        ([label(one, "!no-promote"), label(one, "!no-unauthenticated")], 3),
        ([label(other, "!no-promote")], 0),
        ([label(one, "porn", src=other)], 0),
        ([label(one, "porn", uri=one)], 0),
        ([label(one, "porn", neg=True)], 0),
        ([label(one, 7), 7, None, {}, label(one, "sunny")], 0),
    ):  # fmt: skip
        assert levels_of({"profiles": [profile(one, *labels)]}) == {one: level}
    assert levels_of({"profiles": [{"did": one}, {"did": 7}, 7, {"did": other, "labels": "porn"}]}) == {
        one: 0,
        other: 0,
    }
    with pytest.raises(NoAnswerError):
        levels_of({"profiles": None})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return listed(tmp_path, [plc_did(number) for number in range(60)])


class Answers:
    """Stands for an AppView's answers: who says what, and after how many questions it fails."""

    def __init__(self, says: dict[str, str], fails_after: int = 1_000) -> None:
        self.says, self.fails_after, self.asked = says, fails_after, list[list[str]]()

    def __call__(self, client: object, method: str, params: dict[str, list[str]]) -> dict[str, object]:
        assert method == "app.bsky.actor.getProfiles"
        if len(self.asked) >= self.fails_after:
            raise NoAnswerError("status 429")
        self.asked.append(params["actors"])
        found = [profile(did, label(did, self.says.get(did, "sunny"))) for did in params["actors"]]
        return {"profiles": found[:-1]}  # one account is gone


def ask(folder: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(author_profiles, "ask", answers)
    author_profiles.run(folder, "http://127.0.0.1:9", pause_seconds=0)


def test_the_most_liked_are_asked_about_first_and_some_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    first = Answers({plc_did(59): "!no-promote"}, fails_after=2)
    with pytest.raises(BackfillError, match="10 of them are asked about later"):
        ask(folder, first, monkeypatch)
    assert first.asked == [[plc_did(59 - place) for place in range(start, start + 25)] for start in (0, 25)]
    assert withheld(folder)[plc_did(59)] == 3, "what was answered before is stored"
    monkeypatch.setattr(author_profiles, "REQUESTS_A_RUN", 1)
    monkeypatch.setattr(author_profiles, "AT_ONCE", 4)
    for _ in range(4):
        ask(folder, second := Answers({}), monkeypatch)
    assert second.asked == [], "all were asked about, the accounts that are gone too"
    assert counted(folder) == {"profile_requested": 60, "profile_withholds": 1}


def test_they_are_asked_again_after_a_week_and_forgotten_after_two(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    ask(folder, Answers({plc_did(5): "!no-promote"}), monkeypatch)
    assert withheld(folder)[plc_did(5)] == 3
    later_us = time.time_ns() // 1000 + who_is_due.PROFILE_US
    assert len(authors_to_ask_about(folder, later_us + 60_000_000, 100)) == 60
    assert authors_to_ask_about(folder, later_us - 60_000_000, 100) == []
    with closing(connect(places.landing(folder))) as landing:
        landing.execute("UPDATE profile_requests SET requested_us = requested_us - ?", (15 * DAY_US,))
        landing.execute("UPDATE self_labels SET rev = ?", (tid_at(NOW_US - 15 * DAY_US),))
        landing.execute("INSERT INTO profile_requests VALUES (1000, 1)")
    ask(folder, Answers({}), monkeypatch)
    assert withheld(folder)[plc_did(5)] == 0, "who said it no longer is shown again"
    assert rows(folder, "landing", "SELECT count(*) FROM profile_requests WHERE actor_id = 1000") == [(0,)]


def test_what_the_stream_told_lately_counts_more(folder: Path):
    did = plc_did(7)
    [(number,)] = rows(folder, "landing", "SELECT actor_id FROM actors WHERE did = ?", did)

    def told(level: int, ago_us: int) -> None:
        landing, now_us = Landing(folder), time.time_ns() // 1000
        landing.append(
            EventBatch(profiles=[ProfileWord(did, level, now_us, tid_at(now_us - ago_us))]), "host", "wire"
        )
        landing.close()

    def answered(level: int) -> int:
        with closing(ProfileRequests(folder)) as store:
            store.answered([(number, did)], {did: level})
        return withheld(folder)[did]

    told(3, 2 * BEHIND_US)
    assert answered(0) == 0, "the stream missed the change"
    told(1, BEHIND_US // 2)
    assert answered(0) == answered(3) == 1, "the AppView is behind"
    told(0, BEHIND_US // 4)
    assert answered(3) == 0
