"""What the demo says its lists are worth: by the simulator's record of before and after, and by nothing else."""

import ast
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import orjson
import pytest
from appview_server import END_US
from serving_worlds import ServingStore, blob, config_of

from pipeline.demo import people as demo_people
from pipeline.demo import worth
from pipeline.demo.end_to_end_checks import Demo
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.next_likes import next_likes
from pipeline.simulate.parameters import HOUR_US
from pipeline.simulate.timeline import World, WorldParameters
from serving.process.web_server import WebServer

PARAMETERS = WorldParameters(users=300, days=1, seed=5, end_us=END_US)


@pytest.fixture
def network() -> Iterator[SimulatedNetwork]:
    with SimulatedNetwork(World(PARAMETERS), speed=0) as running:
        yield running


def test_the_next_likes_are_those_that_the_stream_sends_later() -> None:
    found = next_likes(World(PARAMETERS), END_US - 1, END_US + 2 * HOUR_US)
    later = World(PARAMETERS)
    sent = set()
    for line in later.lines(END_US, END_US + 2 * HOUR_US + 1):
        event = orjson.loads(line) if b"app.bsky.feed.like" in line else {}
        commit = event.get("commit", {})
        if commit.get("operation") == "create" and "/app.bsky.feed.post/" in str(
            commit["record"].get("subject")
        ):
            sent.add((event["did"], commit["record"]["subject"]["uri"], event["time_us"]))
    mine = {(like.did, like.uri, like.seen_us) for like in found}
    assert len(mine) > 30
    assert mine <= sent
    known = {like for like in sent if like[1].split("/")[2] in later.people.number}
    assert known == mine
    assert all(like.written_us <= like.seen_us for like in found)


def test_looking_ahead_changes_nothing_that_is_sent() -> None:
    plain, ahead = World(PARAMETERS), World(PARAMETERS)
    next_likes(ahead, END_US, END_US + 3 * HOUR_US)
    until = END_US + HOUR_US
    assert list(ahead.lines(None, until)) == list(plain.lines(None, until))


def test_a_hand_made_case() -> None:
    lists = {"ann": [*map(str, range(40))], "bob": ["x"]}
    popular = {"ann": ["0", "7", "x"], "bob": ["x", "y"]}
    found = worth.worth_of(
        lists, popular, {"ann": {"7"}, "bob": set()}, {"ann": {"0", "35", "z"}, "bob": {"y"}}
    )
    assert (found.people, found.likes, found.ours, found.popular) == (2, 4, 1, 2)
    assert "our first 30 posts hold 25 %, the popular list 50 %" in found.text()
    long = {"ann": [*map(str, range(40))]}
    liked = {"ann": {str(number) for number in range(5)}}
    assert worth.worth_of({"ann": []}, long, liked, {"ann": {"34", "35"}}).popular == 1, (
        "the 30 not yet liked"
    )


def test_the_figure_comes_from_the_simulators_record(network: SimulatedNetwork, tmp_path: Path) -> None:
    """Lists made of what people will like are worth 100 %, as far as 30 places go; no store of ours has these likes."""
    now_us = network.now_us()
    future: dict[str, list[str]] = defaultdict(list)
    for like in next_likes(World(PARAMETERS), now_us, now_us + worth.HOURS * HOUR_US):
        if like.written_us <= now_us and like.uri not in future[like.did]:
            future[like.did].append(like.uri)
    everybody = [
        str(person["did"]) for person in httpx.get(f"{network.plc_url}/simulator/viewers?n=200").json()
    ]
    uris = sorted({uri for did in everybody for uri in future[did]})
    numbers = {uri: number for number, uri in enumerate(uris, 1)}
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts(range(1, len(uris) + 2))
    store.connection.executemany("UPDATE posts SET uri = ? WHERE post_id = ?", list(numbers.items()))
    lists = {did: blob([numbers[uri] for uri in future[did]] or [len(uris) + 1]) for did in everybody}
    store.publish(1, lists, {"": blob([len(uris) + 1])}, at=time.time())
    config = config_of(
        tmp_path,
        network.plc_url,
        hostname="localhost",
        service_did="did:web:localhost",
        publisher_did="did:web:localhost",
    )
    server = WebServer(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        host, port = server.address
        demo = Demo(
            Path("/no/store/of/the/feed"), f"http://{host}:{port}", "", network.plc_url, "did:web:localhost"
        )
        found = worth.measure(demo)
        sent = demo_people.visit(demo, everybody[:3])
    finally:
        server.stop()
        thread.join(120)
        store.close()
    expected = sum(len(future[did]) for did in everybody)
    assert expected > 20
    assert found.likes == expected
    assert found.ours == sum(min(len(future[did]), 30) for did in everybody)
    assert found.popular == 0
    assert sent > 3


def test_the_figure_knows_no_store() -> None:
    tree = ast.parse(Path(worth.__file__).read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name and name.split(".")[0] in {"sql", "sqlite3", "duckdb"}}
    assert "data_dir" not in Path(worth.__file__).read_text()


def test_people_to_begin_with_like_different_things() -> None:
    with SimulatedNetwork(World(replace(PARAMETERS, users=800)), speed=0) as network:
        demo = Demo(Path("/none"), "http://127.0.0.1:9", "", network.plc_url, "did:web:localhost")
        found = demo_people.cast(demo)
    assert len(found) == demo_people.SHOWN
    assert len({person.likes.partition(" and ")[0] for person in found}) == len(found)
    people = network.world.people
    for person in found:
        taste = people.taste[people.number[person.did]]
        favourite = people.communities.topic(int(np.argmax(taste)))
        assert person.likes.startswith(favourite)


@pytest.mark.parametrize("query", ["hours=0", "hours=99", "hours=x", "from=9999999999999999"])
def test_invalid_requests_for_the_future(network: SimulatedNetwork, query: str) -> None:
    assert httpx.get(f"{network.plc_url}/simulator/next?{query}").status_code == 400
