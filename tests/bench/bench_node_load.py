"""What do two shards behind the proxy bear, and what does a viewer notice while nodes come and go?

    python tests/bench/bench_node_load.py [--viewers 1000000] [--signers 15000] [--requests 40000] [--connections 16]
        [--rate 750] [--seconds 150] [--less-share 0.05]

A head gives lists of 300 posts for --viewers viewers. Two shards with two nodes each take them, behind the real
HAProxy with deploy/haproxy.cfg, and one more machine serves everybody alone; every node has one worker. All of it and
the load (bench_serving.py) are on this machine. Of the requests --less-share are a "show less", the others first pages.
They are signed by --signers viewers whose keys are on disk.

The load goes to the machine that serves alone, then to the proxy: --requests as fast as they go, then at --rate a
second. At last it goes to the proxy at --rate for --seconds. Meanwhile a node is killed, another takes nothing while
20,000 lists are given anew, and a node is added. In the end every "show less" must be at the head, and the pages of
viewers who sent nothing those of the machine that serves alone. Prints a line a phase and one line of JSON.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench_serving import ITEMS, POSTS, Loaded, fill, keep_keys, request, run
from bench_tools import parser_of, session_cpu_seconds
from node_cluster import NODES, Cluster, cluster, less_body, pages_of
from serving_worlds import INTERACTIONS, Account, blob, plc_did, post_uri, wait_until

from sql import places

RENEWED = 20_000
QUIET = 40
READY_SECONDS = 900.0


def less(account: Account, post: str, now: float) -> bytes:
    """Return a "show less" of the kind that an AppView passes on."""
    body = less_body(post)
    token = account.token("app.bsky.feed.sendInteractions", now=now, exp=int(now) + 3500)
    return (
        f"POST {INTERACTIONS} HTTP/1.1\r\nHost: feed.example.com\r\nUser-Agent: BskyAppView\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n{body}"
    ).encode()


class Requests:
    """Requests of viewers, each with its own token; ``less`` is what was said of which posts."""

    def __init__(self, accounts: list[Account], less_share: float) -> None:
        self._accounts, self._less_share, self._chance = accounts, less_share, random.Random(2)
        self.less: set[tuple[str, str]] = set()

    def make(self, count: int, *, counted: bool) -> list[bytes]:
        """Return requests; those that are ``counted`` must be at the head in the end."""
        return [self._one(counted) for _ in range(count)]

    def _one(self, counted: bool) -> bytes:
        account = self._chance.choice(self._accounts)
        if self._chance.random() >= self._less_share:
            return request(account, time.time())
        post = post_uri(self._chance.randint(1, POSTS))
        if counted:
            self.less.add((account.did, post))
        return less(account, post, time.time())


def figures(world: Cluster, loaded: Loaded, before: dict[str, float]) -> dict[str, Any]:
    """Return what a phase was like; CPU is that of each kind of process, in ms a request."""
    latencies = sorted(loaded.latencies)
    used = {name: seconds - before.get(name, 0.0) for name, seconds in cpu(world).items()}
    kinds = {"proxy": ("proxy",), "head": ("head",), "alone": ("alone",), "nodes": tuple(world.nodes)}
    return {
        "requests": len(latencies),
        "a_second": round(len(latencies) / loaded.seconds, 1),
        **{
            f"p{share:g}_ms": round(
                latencies[min(len(latencies) - 1, int(len(latencies) * share / 100))] * 1e3, 1
            )
            for share in (50, 99, 99.9, 100)
        },
        "wrong": loaded.wrong,
        "sent_again": loaded.again,
        **{
            f"{kind}_cpu_ms": round(sum(used.get(name, 0.0) for name in names) / len(latencies) * 1e3, 3)
            for kind, names in kinds.items()
        },
        "load_cpu_ms": round(loaded.cpu / len(latencies) * 1e3, 3),
    }


def cpu(world: Cluster) -> dict[str, float]:
    """Return the CPU seconds of everything that runs, by name."""
    groups = {name: part.process.pid for name, (part, _) in world.nodes.items()}
    assert world.head is not None and world.alone is not None and world.proxy is not None
    groups |= {"head": world.head.process.pid, "alone": world.alone.process.pid, "proxy": world.proxy.pid}
    return {name: session_cpu_seconds(group) for name, group in groups.items()}


def renew(world: Cluster, viewers: list[int]) -> None:
    """Publish new lists of some viewers, as the batch does."""
    chance, execute = random.Random(7), world.store.connection.execute
    world.generation += 1
    lists = [blob(chance.sample(range(1, POSTS + 1), ITEMS)) for _ in range(200)]
    execute("BEGIN IMMEDIATE")
    for number in viewers:
        execute("DELETE FROM lists WHERE feed_id = 1 AND viewer_id = ?", (number,))
        execute(
            "INSERT INTO lists VALUES (1, ?, ?, ?)", (number, world.generation, lists[number % len(lists)])
        )
    now_us = int(time.time() * 1e6)
    execute(
        "INSERT INTO generations (generation, snapshot_us, published_us, lists, items) VALUES (?, ?, ?, ?, 0)",
        (world.generation, now_us, now_us, len(viewers)),
    )
    execute("COMMIT")


def has_newest(world: Cluster, name: str) -> bool:
    """Tell whether a node has the newest lists."""
    return world.generation_of(name) == world.generation


def come_and_go(world: Cluster, viewers: list[int], accounts: list[Account]) -> dict[str, float]:
    """Kill a node, let another be behind, add one; return when each was, in seconds from now."""
    began, at = time.monotonic(), {}

    def now(name: str) -> None:
        at[name] = round(time.monotonic() - began, 1)

    time.sleep(10)
    world.nodes["1a"][0].kill()
    now("killed")
    time.sleep(10)
    world.stop_exchange("2b")
    renew(world, viewers)
    now("behind")
    for name in ("1b", "2a"):
        assert wait_until(partial(has_newest, world, name)), world.log(name)
    now("others_have_it")
    assert not has_newest(world, "2b")
    time.sleep(5)
    world.nodes["2b"][0].send(signal.SIGCONT)
    assert wait_until(partial(has_newest, world, "2b")), world.log("2b")
    now("behind_no_more")
    del world.nodes["1a"]
    keep(world, "1c", accounts)
    world.add_node("1c", NODES["1a"])
    now("added")
    world.wait_for("1c", seconds=READY_SECONDS)
    now("answers")
    world.reload_proxy()
    now("in_use")
    return at


def keep(world: Cluster, name: str, accounts: list[Account]) -> None:
    """Give a machine the keys of viewers, as it would have them after a restart."""
    folder = world.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    keep_keys(folder / "keys.sqlite", accounts)


def phase(
    world: Cluster, name: str, port: int, requests: list[bytes], options: Any, rate: float
) -> dict[str, Any]:
    """Send requests to a port; return the figures."""
    before = cpu(world)
    found = figures(world, run(port, requests, options.connections, rate), before)
    show(name, found)
    return found


def show(name: str, found: dict[str, Any]) -> None:
    print(f"{name:<24}", "  ".join(f"{key} {value}" for key, value in found.items()), flush=True)


def measure(world: Cluster, options: Any, quiet: list[str]) -> dict[str, Any]:
    """Run all phases; return the figures."""
    busy = [account for did, account in world.accounts.items() if did not in set(quiet)]
    everyone = [*world.accounts.values()]
    requests, found = Requests(busy, options.less_share), {}
    for name in (*NODES, "alone"):
        keep(world, name, everyone)
    began = time.monotonic()
    world.start_all(READY_SECONDS)
    assert world.alone is not None
    print(f"all nodes have their lists after {time.monotonic() - began:.0f} s", flush=True)
    found["ready_seconds"] = round(time.monotonic() - began)
    for name, port in (("alone", world.alone.port), ("proxy", world.proxy_port)):
        for rate in (0.0, options.rate):
            made = requests.make(options.requests, counted=port == world.proxy_port)
            found[f"{name} {rate:g}/s"] = phase(world, f"{name} {rate:g}/s", port, made, options, rate)
    made = requests.make(int(options.rate * options.seconds), counted=True)
    before = cpu(world)
    chosen = random.Random(4).sample(range(1, options.viewers + 1), min(RENEWED, options.viewers // 4))
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(run, world.proxy_port, made, options.connections, options.rate)
        at = come_and_go(world, chosen, everyone)
        time.sleep(5)
        assert not loading.done(), f"the load was over before all had happened, {at}: --seconds is too short"
        found["come and go"] = figures(world, loading.result(), before) | {"at": at}
    show("come and go", found["come and go"])
    found["show_less"] = len(requests.less)
    wait_until(lambda: requests.less <= world.answers_at_head(), 60.0)
    found["show_less_lost"] = len(requests.less - world.answers_at_head())
    found["lists_compared"] = len(quiet)
    found["lists_unequal"] = sum(
        pages_of(world, world.proxy_port, did) != pages_of(world, world.alone.port, did) for did in quiet
    )
    return found


def main() -> None:
    """Measure, print."""
    options = parser_of(
        __doc__,
        viewers=1_000_000,
        signers=15_000,
        requests=40_000,
        connections=16,
        rate=750.0,
        seconds=150.0,
        less_share=0.05,
    ).parse_args()
    numbers = random.Random(3).sample(range(1, options.viewers + 1), options.signers + QUIET)
    quiet = [plc_did(number) for number in numbers[-QUIET:]]
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder), numbers) as world:
        fill(world.store, options.viewers)
        world.generation = 1
        size = places.serving(Path(folder) / "head").stat().st_size
        found = measure(world, options, quiet)
    print(json.dumps({"bench": "node load", "cores": os.cpu_count(), "store_mb": round(size / 1e6),
                      **{name: getattr(options, name) for name in ("viewers", "signers", "connections")},
                      **found}))  # fmt: skip


if __name__ == "__main__":
    main()
