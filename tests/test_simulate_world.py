"""A simulated world: deterministic, well-formed, in order, and true to its law and to its ground truth."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.errors import SettingError
from pipeline.identifiers import is_did, parse_post_uri, rkey_to_int, tid_to_int
from pipeline.simulate.ground_truth import ground_truth
from pipeline.simulate.parameters import DAY_US, HOUR_US
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.simulate.world.event_columns import Kind, join

END_US = 1_783_036_800_000_000
SMALL = WorldParameters(users=1000, days=2, seed=5, end_us=END_US, rubbish=0.01, communities=6)
LIKE = "app.bsky.feed.like"


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL)


@pytest.fixture(scope="module")
def lines(world: World) -> list[bytes]:
    return list(world.lines())


@pytest.fixture(scope="module")
def events(lines: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in lines]


def proper(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the commits that are well-formed."""
    for event in events:
        commit = event.get("commit")
        if event["kind"] == "commit" and isinstance(commit, dict) and is_did(event["did"]):
            record = commit.get("record")
            good = isinstance(record, dict) and record and isinstance(record.get("subject", {}), dict | str)
            if good or commit.get("operation") == "delete":
                yield event


def test_equal_parameters_give_equal_bytes(lines: list[bytes]) -> None:
    assert list(World(SMALL).lines()) == lines


def test_another_seed_gives_another_world(lines: list[bytes]) -> None:
    other = World(WorldParameters(users=1000, days=2, seed=6, end_us=END_US, communities=6))
    assert not set(lines[:1000]) & set(other.lines(None, SMALL.start_us + 2 * HOUR_US))


def test_reading_in_pieces_gives_the_same_lines(world: World, lines: list[bytes]) -> None:
    cuts = [world.parameters.start_us + hours * HOUR_US for hours in (0, 1, 9, 30, 31, 48)]
    pieces = [list(world.lines(low, high)) for low, high in pairwise(cuts)]
    assert [line for piece in pieces for line in piece] == lines


def test_times_rise_strictly_within_history(events: list[dict[str, Any]]) -> None:
    times = [event["time_us"] for event in events]
    assert all(low < high for low, high in pairwise(times))
    assert times[0] >= SMALL.start_us
    assert times[-1] < SMALL.end_us


def test_revs_rise_with_each_commit_of_an_account(events: list[dict[str, Any]]) -> None:
    last: dict[str, tuple[int, bool]] = {}
    shared = 0
    for event in proper(events):
        commit = event["commit"]
        if not isinstance(commit.get("rev"), str):
            continue
        rev = tid_to_int(commit["rev"])
        assert rev is not None
        before, was_unlike = last.get(event["did"], (0, False))
        if rev == before:  # an unlike and a like in one commit
            assert was_unlike
            assert commit["operation"] == "create"
            shared += 1
        assert rev >= before
        last[event["did"]] = rev, commit["operation"] == "delete"
    assert shared


def test_lines_look_like_the_real_wire(events: list[dict[str, Any]]) -> None:
    seen: Counter[str] = Counter()
    for event in proper(events):
        commit = event["commit"]
        seen[f"{commit.get('collection')} {commit.get('operation')}"] += 1
        assert list(event) == ["did", "time_us", "kind", "commit"]
        if commit.get("operation") == "create" and commit.get("collection") == LIKE and "rkey" in commit:
            record = commit["record"]
            assert list(commit) == ["rev", "operation", "collection", "rkey", "record", "cid"]
            if isinstance(record.get("subject"), dict) and "uri" in record["subject"]:
                assert list(record)[:3] == ["$type", "createdAt", "subject"]
    for wanted in (
        f"{LIKE} create",
        f"{LIKE} delete",
        "app.bsky.feed.post create",
        "app.bsky.feed.post delete",
        "app.bsky.feed.repost create",
        "app.bsky.graph.follow create",
        "app.bsky.actor.profile update",
        "app.bsky.graph.block create",
    ):
        assert seen[wanted], wanted
    kinds = Counter(event["kind"] for event in events)
    assert kinds["identity"]
    assert kinds["account"]
    statuses = {event["account"].get("status") for event in events if event["kind"] == "account"}
    assert statuses == {None, "deleted", "deactivated"}


def test_the_oddities_occur(events: list[dict[str, Any]]) -> None:
    likes = [
        event
        for event in events
        if isinstance(event.get("commit"), dict) and event["commit"].get("collection") == LIKE
        if isinstance(event["commit"].get("rkey"), str) and is_did(event["did"])
    ]
    created = [event for event in likes if event["commit"]["operation"] == "create"]
    keys = {(event["did"], event["commit"]["rkey"]) for event in created}
    deletes = [
        (event["did"], event["commit"]["rkey"]) for event in likes if event["commit"]["operation"] == "delete"
    ]
    assert any(tid_to_int(key) is None and rkey_to_int(key) is not None for _, key in keys)
    assert any(key not in keys for key in deletes)
    assert any(key in keys for key in deletes)
    assert any(event["commit"]["operation"] == "update" for event in likes)
    subjects = [
        (event["did"], (event["commit"]["record"] or {}).get("subject"))
        for event in created
        if isinstance(event["commit"]["record"], dict)
    ]
    uris = [(did, subject.get("uri")) for did, subject in subjects if isinstance(subject, dict)]
    assert max(Counter(uris).values()) > 1
    assert any(isinstance(uri, str) and did in uri for did, uri in uris)
    assert any(isinstance(uri, str) and "app.bsky.feed.generator" in uri for _, uri in uris)


def naive_record(lines: list[bytes], until_us: int) -> dict[tuple[str, str], str]:
    """Replay the lines one by one, as simply as can be."""
    likes: dict[tuple[str, str], str] = {}
    for line in lines:
        event = orjson.loads(line)
        if event["time_us"] > until_us:
            break
        commit = event.get("commit")
        if event["kind"] != "commit" or not isinstance(commit, dict) or commit.get("collection") != LIKE:
            continue
        key = event["did"], commit.get("rkey")
        if commit["operation"] == "delete":
            likes.pop(key, None)
        elif commit["operation"] in {"create", "update"}:
            subject = commit["record"].get("subject") if isinstance(commit.get("record"), dict) else None
            uri = subject.get("uri") if isinstance(subject, dict) else None
            collection = (
                uri.split("/")[3:4] if isinstance(uri, str) and uri.startswith("at://did:plc:") else None
            )
            if collection and (collection[0] != "app.bsky.feed.post" or parse_post_uri(uri)):
                likes[key] = uri
    return likes


@pytest.mark.parametrize("hours", [1, 20, 48])
def test_the_ground_truth_is_what_the_lines_say(world: World, lines: list[bytes], hours: int) -> None:
    until = SMALL.start_us + hours * HOUR_US - 1
    found = ground_truth(world, until)
    assert {(like.did, like.rkey): like.subject for like in found.likes()} == naive_record(lines, until)
    assert len(found) > 10
    for like in found.likes():
        assert like.is_post == (parse_post_uri(like.subject) is not None)


def test_the_ground_truth_names_accounts_and_deleted_posts(
    world: World, events: list[dict[str, Any]]
) -> None:
    found = ground_truth(world, END_US - 1)
    status: dict[str, str] = {}
    deleted = set()
    for event in events:
        if event["kind"] == "account":
            status[event["did"]] = event["account"].get("status", "active")
        elif event["kind"] == "commit" and isinstance(event["commit"], dict):
            commit = event["commit"]
            if commit.get("collection") == "app.bsky.feed.post" and commit["operation"] == "delete":
                deleted.add(f"at://{event['did']}/app.bsky.feed.post/{commit['rkey']}")
    assert {did: state for did, (state, _) in found.accounts.items()} == {
        did: state for did, state in status.items() if state != "active"
    }
    assert set(found.deleted_posts) == deleted
    rows = [orjson.loads(line) for line in found.lines()]
    assert {row["type"] for row in rows} == {"like", "account", "deleted_post"}


def test_nobody_acts_while_their_account_is_hidden(events: list[dict[str, Any]]) -> None:
    away: set[str] = set()
    for event in events:
        if event["kind"] == "account":
            (away.discard if event["account"]["active"] else away.add)(event["did"])
        elif isinstance(event["did"], str):
            assert event["did"] not in away


def test_a_forgetful_world_sends_the_same_and_keeps_its_truth() -> None:
    shape = {"users": 60, "days": 0.25, "seed": 4, "end_us": END_US, "communities": 4}
    brief = World(WorldParameters(**shape, keep_hours=2))  # type: ignore[arg-type]
    long = World(WorldParameters(**shape, keep_hours=2000))  # type: ignore[arg-type]
    until = END_US + 6 * DAY_US
    brief.make_until(until)
    assert brief.kept_from_us > END_US
    assert brief.posts.base > 0
    assert list(brief.lines(brief.kept_from_us, until)) == list(long.lines(brief.kept_from_us, until))
    one, other = ground_truth(brief, until - 1), ground_truth(long, until - 1)
    assert sorted(one.likes()) == sorted(other.likes())
    assert one.accounts == other.accounts
    assert one.deleted_posts == other.deleted_posts
    with pytest.raises(ValueError, match="is forgotten"):
        ground_truth(brief, END_US)


def test_like_weight_predicts_the_likes() -> None:
    # The law's share of likes for each community and for young posts agrees with what happens.
    world = World(
        WorldParameters(users=2000, days=2, seed=8, end_us=END_US, clustering="strong", communities=6)
    )
    world.make_until(END_US)
    at = END_US - DAY_US
    person = int(np.argmax(world.people.like_rate))
    posts = world.reachable_posts(at)
    weights = world.like_weight(person, posts, at)
    assert weights.shape == posts.shape
    assert (weights >= 0).all()
    home = world.posts.of("community", posts) == world.people.home[person]
    share = weights[home].sum() / weights.sum()
    assert abs(share - world.people.taste[person][world.people.home[person]]) < 0.15
    # Over everybody, posts the law favours get the likes of the next ten minutes.
    slot = world.kept_slots()[(at - world.parameters.start_us) // 600_000_000]
    rows = slot.take((slot.kind == Kind.LIKE) & (slot.target >= 0) & (slot.target < posts[-1]))
    ranks = []
    for who, target in zip(rows.actor.tolist()[:150], rows.target.tolist()[:150], strict=True):
        if target >= posts[0]:
            own = world.like_weight(who, posts, at)
            ranks.append(float((own < own[target - posts[0]]).mean()))
    assert len(ranks) > 20
    assert np.mean(ranks) > 0.85


def test_clustering_sets_how_much_of_a_taste_is_ones_own() -> None:
    """Not much more than half of the people have several communities in languages that they read."""
    shares = []
    for clustering in ("weak", "middle", "strong"):
        parameters = WorldParameters(users=300, days=1, end_us=END_US, clustering=clustering)
        shares.append(World(parameters).people.taste.max(axis=1).mean())
    assert shares[0] < shares[1] - 0.05 < shares[2] - 0.1


def test_nobody_likes_what_they_can_not_read() -> None:
    world = World(WorldParameters(users=300, days=1, end_us=END_US))
    people = world.people
    world.make_until(END_US)
    made = join(world.kept_slots())
    likes = made.take((made.kind == Kind.LIKE) & (made.target >= 0))
    languages = people.communities.languages[world.posts.of("community", likes.target)]
    assert people.reads[likes.actor, languages].mean() > 0.99  # odd likes name any post
    several = people.reads.sum(axis=1)
    assert several.min() == 1
    assert 0.05 < (several > 1).mean() < 0.5


def test_posts_that_rise_are_liked_hours_after_they_were_made() -> None:
    """A third of the better posts rise; the other better ones are liked soon."""
    world = World(WorldParameters(users=300, days=2, seed=4, end_us=END_US, risers=0.3))
    world.make_until(END_US)
    made = join(world.kept_slots())
    likes = made.take((made.kind == Kind.LIKE) & (made.target >= 0))
    posts = np.unique(likes.target)
    late = world.posts.of("late", likes.target) > 0
    hours = (likes.time_us - world.posts.of("created_us", likes.target)) / HOUR_US
    assert late.sum() > 100
    assert np.median(hours[late]) > 4 > np.median(hours[~late])
    # The law says the same: most such posts are worth several times as much when they rise.
    rises_us = world.posts.of("burst_us", posts)
    grown = []
    for post in posts[(world.posts.of("late", posts) > 0) & (rises_us < END_US - HOUR_US)][:30, None]:
        person = int(np.argmax(world.people.taste[:, world.posts.of("community", post)[0]]))
        at_us = int(world.posts.of("burst_us", post)[0])
        before, after = (world.like_weight(person, post, at_us + move)[0] for move in (-HOUR_US, HOUR_US))
        grown.append(after > 3 * before)
    assert len(grown) > 5 and np.mean(grown) > 0.6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 3),
        ("days", 0),
        ("seed", -1),
        ("clustering", "none"),
        ("communities", 0),
        ("rubbish", 1.5),
        ("risers", 2),
    ],
)
def test_parameters_out_of_bounds_are_refused(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"--{name}"):
        WorldParameters(**{name: value})  # type: ignore[arg-type]
