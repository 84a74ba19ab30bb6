"""kill -9 of ingest, batch and serve, again and again, all at once, at random moments of their work.

Afterwards the store holds exactly the likes of the simulator's own record, and every list that was paged
through meanwhile was one whole generation's.

FORYOU_TEST_KILLS=40 python -m pytest tests/test_kill.py      is the long run

Eight kills of each are enough, since they hit parts at work: two of three of ingest within the second that follows a
commit, those of a batch within the time that a whole run took. What a kill between two steps does is tested step by
step elsewhere (test_landing.py, test_batch_publish.py); here all is killed at once.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import commands
import httpx
import pytest
from fault_tools import differences, number_in, wait_for
from streams import free_port, wait_until

from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from pipeline.store.who_is_due import recent_viewers
from serving.lists.list_bytes import items, length
from serving.lists.removed_posts import RemovedPosts
from sql import places
from sql.sqlite import rows_of

KILLS = int(os.environ.get("FORYOU_TEST_KILLS", "8"))
REST_SECONDS = 0.5  # between a reader's sessions: those that are being killed need the processor
SKELETON = "app.bsky.feed.getFeedSkeleton"


@dataclass
class Feed:
    """An installation that is being killed all the time, on a network that runs two hours a second."""

    data_dir: Path
    network: SimulatedNetwork
    env: dict[str, str]
    address: str
    service_did: str
    choose: random.Random
    done: threading.Event = field(default_factory=threading.Event)
    problems: list[str] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=dict)
    sessions: int = 0

    @property
    def feed_uri(self) -> str:
        return f"at://{self.service_did}/app.bsky.feed.generator/for-you"


@pytest.fixture
def feed(tmp_path: Path) -> Any:
    parameters = WorldParameters(users=600, days=3, seed=7, end_us=1_790_000_000_000_000)
    port = free_port()
    service_did = f"did:web:localhost%3A{port}"
    faults = "close1000:7000,abort:11000,rubbish:500,halfframe:900"
    with SimulatedNetwork(parameters, faults=faults, speed=7200) as network:
        env = commands.environment(
            tmp_path,
            stream_url=network.stream_url,
            stream_start_hours="1000000",
            hostname=f"localhost:{port}",
            listen=f"127.0.0.1:{port}",
            plc_url=network.plc_url,
        )
        yield Feed(tmp_path, network, env, f"http://127.0.0.1:{port}", service_did, random.Random(7))


def kill_again_and_again(
    feed: Feed, part: str, works: Callable[[], Callable[[], bool]], longest: float
) -> None:
    """Start a part, wait until it works, and kill it at a random moment after that; at last let it run.

    ``works`` is called before the start and returns what is true once the part works. Every third time the part is
    killed while it starts.
    """
    for number in range(KILLS):
        at_work = works()
        with commands.running(part, env=feed.env, log=feed.data_dir / part) as process:
            if number % 3 < 2:
                wait_for(at_work, process)
            time.sleep(feed.choose.uniform(0.0, longest))
            process.kill()
            process.wait()
            feed.killed[part] = number + 1
    while (
        not feed.done.is_set()
    ):  # as systemd does: workers of a server that was killed may have its port for a moment
        with commands.running(part, env=feed.env, log=feed.data_dir / part) as process:
            while process.poll() is None and not feed.done.wait(0.1):
                pass


def commits(feed: Feed) -> Callable[[], bool]:
    """Return what is true once ingest has committed something more."""
    query = "SELECT commit_no FROM last_commit"
    before = number_in(feed.data_dir, query)
    return lambda: number_in(feed.data_dir, query) > before


def always() -> bool:
    return True


def kill_batches(feed: Feed) -> None:
    """Let one batch run to its end, then kill others at random moments of the time that it took."""
    whole = run_batch(feed)
    for number in range(KILLS):
        with commands.running("batch", env=feed.env, log=feed.data_dir / "batch") as process:
            time.sleep(feed.choose.uniform(0.1, 1.2) * whole)
            process.kill()
            feed.killed["batch"] = number + 1
        if number % 4 == 3:
            whole = run_batch(feed)


def run_batch(feed: Feed) -> float:
    """Run a batch that is left alone; return how many seconds it took."""
    began = time.monotonic()
    result = commands.run("batch", env=feed.env)
    if result.returncode != 0:
        feed.problems.append(f"a batch that was left alone ended with {result.returncode}: {result.stderr}")
    return time.monotonic() - began


def page_through(feed: Feed) -> None:
    """Page through one list after another, asking again until there is an answer, and hold each to the store.

    A viewer whose first visit is not stored yet when a run replaces their list goes on in the new one, without what
    they were shown (``pipeline.batch.publish.prune``). A viewer with a stored visit never does. For the same reason the
    list that such a viewer has just seen to its end may be gone; then the one counts that they had before.
    """
    with httpx.Client(base_url=feed.address, timeout=120) as client:
        while not feed.done.is_set():
            viewer = feed.choose.choice(VIEWERS(feed))
            removed = removed_posts(feed.data_dir)
            known_us = int(time.time() * 1e6) if has_visited(feed.data_dir, viewer) else None
            before = own_list(feed.data_dir, viewer)
            shown = one_session(feed, client, viewer)
            if shown is None:
                return
            if not shown:
                continue
            removed |= removed_posts(feed.data_dir)
            generations = [generation for generation, _ in shown]
            newest = generations[-1]
            if generations != sorted(generations):
                feed.problems.append(f"{viewer} went back from one generation to an older: {generations}")
            if newest != generations[0] and known_us is not None and published_us(feed, newest) > known_us:
                feed.problems.append(f"{viewer} was known, and saw generations {sorted(set(generations))}")
            posts = [post for _, post in shown]
            if len(posts) != len(set(posts)):
                feed.problems.append(f"{viewer} saw a post twice")
            in_newest = [post for generation, post in shown if generation == newest]
            own = own_list(feed.data_dir, viewer, newest) or before
            lists = own + fallback_lists(feed.data_dir, newest)
            # What was shown before comes behind what was not, so the order is the viewer's own.
            if not any(is_rest(in_newest, stored, removed.union(posts)) for stored in lists):
                feed.problems.append(f"{viewer} saw {len(posts)} posts that are no whole list of {newest}")
            feed.sessions += 1
            feed.done.wait(REST_SECONDS)


def VIEWERS(feed: Feed) -> list[str]:
    return feed.network.world.people.dids[:200]


def one_session(feed: Feed, client: httpx.Client, viewer: str) -> list[tuple[int, str]] | None:
    """Return generation and post of all that a viewer is shown to a list's end, None when the test is over."""
    shown: list[tuple[int, str]] = []
    query: dict[str, Any] = {"feed": feed.feed_uri, "limit": feed.choose.choice([10, 30, 100])}
    while True:
        headers = {"Authorization": f"Bearer {feed.network.token(viewer, feed.service_did, SKELETON)}"}
        try:
            answer = client.get(f"/xrpc/{SKELETON}", params=query, headers=headers)
        except httpx.TransportError:  # killed just now, or not up again yet
            if feed.done.wait(0.05):
                return None
            continue
        if answer.status_code in (502, 503) and "DID" in answer.text:
            continue  # the directory is a thread of this process: on a busy machine it may be too slow for once
        if answer.status_code != 200:
            feed.problems.append(f"{answer.status_code}: {answer.text}")
            return []
        page = answer.json()
        shown += [(int(item["feedContext"].split(".")[1]), item["post"]) for item in page["feed"]]
        if "cursor" not in page:
            return shown
        query["cursor"] = page["cursor"]


def has_visited(data_dir: Path, viewer: str) -> bool:
    """Tell whether a visit of a viewer is stored, so that a run that begins to write lists now knows of it."""
    return viewer in recent_viewers(data_dir, int(time.time() * 1e6))


def published_us(feed: Feed, generation: int) -> int:
    """Return when a generation's run asked who is reading, just before it wrote the lists."""
    query = "SELECT published_us FROM generations WHERE generation = :generation"
    return int(rows_of(places.serving(feed.data_dir), query, {"generation": generation})[0][0])


def removed_posts(data_dir: Path) -> set[str]:
    """Return the posts of lists that were removed since, for they or their authors left the network."""
    rows = rows_of(places.serving(data_dir), "SELECT author_id, rkey, uri FROM posts")
    posts = {(author, rkey): uri for author, rkey, uri in rows}
    return {posts[key] for key in RemovedPosts(places.removals(data_dir)).withheld_among(posts)}


def is_rest(posts: list[str], stored: list[str], elsewhere: set[str]) -> bool:
    """Tell whether posts are all of a stored list but what is elsewhere: removed, or shown before from an older one."""
    return set(posts) <= set(stored) <= {*posts, *elsewhere}


def own_list(data_dir: Path, viewer: str, generation: int = sys.maxsize) -> list[list[str]]:
    """Return the posts of a viewer's list in a generation, or of their newest; nothing when they have none."""
    query = (
        "SELECT items FROM lists JOIN viewers USING (viewer_id) WHERE did = :viewer AND generation <= :generation "
        "ORDER BY generation DESC LIMIT 1"
    )
    return lists_of(data_dir, query, {"viewer": viewer, "generation": generation})


def fallback_lists(data_dir: Path, generation: int) -> list[list[str]]:
    """Return the posts of every fallback list that a viewer may be shown in a generation."""
    query = "SELECT items FROM fallbacks WHERE generation <= :generation"
    return lists_of(data_dir, query, {"generation": generation})


def lists_of(data_dir: Path, query: str, given: dict[str, Any]) -> list[list[str]]:
    store = places.serving(data_dir)
    rows = rows_of(store, query, given)
    uris = dict(rows_of(store, "SELECT post_id, uri FROM posts")) if rows else {}
    return [[uris[item.post_id] for item in items(blob, 0, length(blob))] for (blob,) in rows]


def test_nothing_is_lost_or_doubled_and_lists_stay_whole(feed: Feed) -> None:
    pieces: list[Callable[[], None]] = [
        lambda: kill_again_and_again(feed, "ingest", lambda: commits(feed), 1.2),
        lambda: kill_again_and_again(feed, "serve", lambda: always, 3.0),
        lambda: page_through(feed),
    ]
    threads = [threading.Thread(target=piece) for piece in pieces]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: (feed.data_dir / "landing.sqlite").exists())
        kill_batches(feed)
        wait_until(lambda: feed.killed.get("ingest") == feed.killed.get("serve") == KILLS)
        wait_until(lambda: feed.sessions >= 20 or bool(feed.problems))
    finally:
        feed.done.set()
        for thread in threads:
            thread.join()
    assert feed.problems == []
    assert feed.killed == {"ingest": KILLS, "serve": KILLS, "batch": KILLS}
    assert places.closed_days(feed.data_dir)  # compaction took part
    held, missing, extra = differences(feed.data_dir, feed.network.world)
    assert held > 5_000
    assert (missing, extra) == (0, 0)
    assert commands.run("batch", env=feed.env).returncode == 0
    assert differences(feed.data_dir, feed.network.world) == (held, 0, 0)
