"""Real simulated posts and people for the tests of pages: a small network, and a store that lists its posts.

Owns: making them. Leaves to the tests: what pages should show of them.
"""

import numpy as np
import orjson

from pipeline.identifiers import post_uri
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import World, WorldParameters

END_US = 1_783_036_800_000_000


def small_network() -> SimulatedNetwork:
    """Return a network whose clock stands at the end of its history; enter it to start it."""
    return SimulatedNetwork(World(WorldParameters(users=300, days=1, seed=5, end_us=END_US)), speed=0)


def newest_posts(network: SimulatedNetwork, count: int) -> list[str]:
    """Return at-uris of posts that exist, newest first."""
    world = network.world
    found = []
    for number in range(world.posts.end - 1, -1, -1):
        one = np.array([number])
        author = world.posts.of("author", one).astype(np.int64)
        if world.posts.of("deleted_us", one)[0] > END_US and not world.hidden(author, END_US)[0]:
            found.append(post_uri(world.people.dids[int(author[0])], int(world.posts.of("rkey", one)[0])))
            if len(found) == count:
                break
    return found


def stream_records(network: SimulatedNetwork) -> dict[str, dict[str, object]]:
    """Return the records of all posts that the stream has sent, by at-uri."""
    found = {}
    for event in map(orjson.loads, network.world.lines()):
        commit = event.get("commit", {})
        if commit.get("collection") == "app.bsky.feed.post" and isinstance(commit.get("record"), dict):
            found[f"at://{event['did']}/app.bsky.feed.post/{commit['rkey']}"] = commit["record"]
    return found
