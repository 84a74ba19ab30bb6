"""What do several serving machines cost, and what does a viewer notice when one is lost?

    python tests/bench/bench_nodes.py [--lists 200000] [--viewers 400] [--seconds 20] [--answers 100]

First the parts: a serving.sqlite with --lists lists of 2,300 bytes and 300,000 posts is given to a folder whole,
taken by a node of shard 1/2, and then a tenth of the lists again after they changed. Then two shards with two nodes
each, behind the real HAProxy (deploy/haproxy.cfg), all on this machine: --viewers viewers read pages and say "show
less" for --seconds from four threads, first at one machine that serves alone, then at the nodes, where one node is
killed in the middle. At last --answers times "show less", one after another: how long until the other node of the
shard and the head have it on their disks. Prints a table and, last, one line of JSON.
"""

import json
import os
import random
import resource
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_tools import parser_of
from node_cluster import Cluster, Load, cluster
from serving_worlds import ServingStore, wait_until

from pipeline.nodes.give_lists import give_lists
from pipeline.nodes.part_manifest import read_manifest
from pipeline.nodes.shared_files import enter
from pipeline.nodes.take_lists import take_lists
from pipeline.ranking import Ranking
from sql import places
from sql.shards import Shard
from sql.sqlite import connect, has_tables

POSTS, LIST_BYTES, GENERATION_LISTS = 300_000, 2_300, 20_000


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def write_lists(store: ServingStore, viewers: range, generation: int) -> int:
    """Write lists of viewers, as generations of 20,000; return the next generation."""
    for first in range(viewers.start, viewers.stop, GENERATION_LISTS):
        some = range(first, min(first + GENERATION_LISTS, viewers.stop))
        execute = store.connection
        execute.execute("BEGIN IMMEDIATE")
        execute.executemany(
            "DELETE FROM lists WHERE feed_id = 1 AND viewer_id = ?", [(viewer,) for viewer in some]
        )
        rows = [(1, viewer, generation, os.urandom(LIST_BYTES)) for viewer in some]
        execute.executemany("INSERT INTO lists VALUES (?, ?, ?, ?)", rows)
        now_us = int(time.time() * 1e6)
        columns = "(generation, snapshot_us, published_us, lists, items)"
        query = f"INSERT INTO generations {columns} VALUES (?, ?, ?, ?, 0)"
        execute.execute(query, (generation, now_us, now_us, len(some)))
        execute.execute("COMMIT")
        generation += 1
    return generation


def parts(folder: Path, lists: int) -> dict[str, float]:
    """Measure giving and taking everything, and a tenth of it."""
    head, node, shared = folder / "head", folder / "node", folder / "shared"
    shared.mkdir()
    enter(shared, is_head=True, is_first=True)
    store = ServingStore(places.serving(head))
    store.connection.execute("BEGIN IMMEDIATE")
    posts = (
        (n, n % 5_000, n, f"at://did:plc:{n % 5_000:024d}/app.bsky.feed.post/{n:013d}", 0, 5, 1)
        for n in range(POSTS)
    )
    columns = "(post_id, author_id, rkey, uri, created_us, likers, last_generation)"
    store.connection.executemany(f"INSERT INTO posts {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", posts)
    store.connection.executemany(
        "INSERT INTO viewers VALUES (?, ?)", ((n, f"did:plc:{n:024d}") for n in range(lists))
    )
    store.connection.execute("COMMIT")
    generation = write_lists(store, range(lists), 1)
    found: dict[str, float] = {}

    def timed(name: str, work: object) -> None:
        wall, used = time.monotonic(), cpu()
        work()  # type: ignore[operator]
        found[f"{name}_seconds"] = round(time.monotonic() - wall, 2)
        found[f"{name}_cpu"] = round(cpu() - used, 2)

    timed("give_all", lambda: give_lists(head, shared))
    timed("take_all", lambda: take_lists(node, shared, Shard(1, 2), Ranking()))
    write_lists(store, range(lists // 10), generation)
    timed("give_tenth", lambda: give_lists(head, shared))
    timed("take_tenth", lambda: take_lists(node, shared, Shard(1, 2), Ranking()))
    manifest = read_manifest(shared)
    assert manifest is not None
    found["all_mb"], found["tenth_mb"] = (round(part.size / 1e6, 1) for part in manifest.parts)
    found["node_mb"] = round(places.serving(node).stat().st_size / 1e6, 1)
    store.close()
    return found


def loaded(world: Cluster, port: int, seconds: float, kill: str = "") -> dict[str, float]:
    """Return what viewers noticed; ``kill`` names a node that is lost in the middle."""
    load = Load(world, port, list(world.accounts), threads=4)
    time.sleep(seconds / 2)
    if kill:
        world.nodes[kill][0].kill()
    time.sleep(seconds / 2)
    load.stop()
    times = sorted(load.seconds)
    return {
        "requests": len(times),
        "a_second": round(len(times) / seconds, 1),
        "p50_ms": round(1_000 * median(times), 1),
        "p99_ms": round(1_000 * times[len(times) * 99 // 100], 1),
        "max_ms": round(1_000 * times[-1], 1),
        "show_less": len(load.less),
        "not_200": len(load.failures),
        "lost": 0 if port != world.proxy_port else lost_at_head(world, load),
    }


def lost_at_head(world: Cluster, load: Load) -> int:
    """Return how many answers the head does not have some seconds later."""
    wait_until(lambda: load.less <= world.answers_at_head(), 10.0)
    return len(load.less - world.answers_at_head())


def has_answer(activity: Path, did: str, post: str) -> bool:
    """Tell whether an activity.sqlite has what a viewer did with a post."""
    if not has_tables(activity, "interactions"):
        return False
    with closing(connect(activity, read_only=True)) as connection:
        query = "SELECT 1 FROM interactions WHERE viewer_did = ? AND post_uri = ?"
        return connection.execute(query, (did, post)).fetchone() is not None


def reached(world: Cluster, answers: int) -> dict[str, float]:
    """Return how long "show less" takes to the head's disk and that of the other node."""
    at_head, at_other = [], []
    for did in list(world.accounts)[:answers]:
        first, other = (world.nodes[name][0] for name in world.nodes_of(did)[:2])
        post = world.page(first.port, did)[1]["feed"][-1]["post"]
        assert world.less(first.port, did, post) == 200
        began = time.monotonic()
        waiting = {"head": (world.folder / "head", at_head), "other": (other.data_dir, at_other)}
        while waiting:
            for name, (data_dir, times) in list(waiting.items()):
                if has_answer(places.activity(data_dir), did, post):
                    times.append(time.monotonic() - began)
                    del waiting[name]
            time.sleep(0.005)
    return {
        f"{name}_{point}_ms": round(1_000 * value)
        for name, times in (("head", sorted(at_head)), ("other", sorted(at_other)))
        for point, value in (("p50", median(times)), ("max", times[-1]))
    }


def main() -> None:
    """Measure, and print."""
    options = parser_of(__doc__, lists=200_000, viewers=400, seconds=20.0, answers=100).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, object] = {"parts": parts(Path(folder), options.lists)}
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder), options.viewers) as world:
        world.publish(list(world.accounts), random.Random(1), length=300)
        world.start_all()
        assert world.alone is not None
        found["alone"] = loaded(world, world.alone.port, options.seconds)
        found["reached"] = reached(world, options.answers)
        found["nodes"] = loaded(world, world.proxy_port, options.seconds)
        found["one_killed"] = loaded(world, world.proxy_port, options.seconds, kill="1a")
    for name, figures in found.items():
        print(f"{name:12}", "  ".join(f"{key} {value}" for key, value in figures.items()))  # type: ignore[attr-defined]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
