"""Two shards with two nodes each behind the real HAProxy: killed, behind, added; and the pages of one machine."""

import random
import shutil
import signal
import subprocess
from pathlib import Path

import commands
import pytest
from node_cluster import DEPLOYED, Cluster, Load, cluster, pages_of
from serving_worlds import wait_until

from sql.shards import Shard, bucket_of

needs_haproxy = pytest.mark.skipif(
    shutil.which("haproxy") is None or not Path("/proc/self").exists(),
    reason="haproxy or /proc is not on this machine",
)


@needs_haproxy
def test_the_deployed_configuration_is_valid() -> None:
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(DEPLOYED)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@needs_haproxy
def test_nodes_behind_the_proxy(tmp_path: Path) -> None:
    chance = random.Random(11)
    with cluster(tmp_path, 36) as world:
        viewers = list(world.accounts)
        busy, quiet = viewers[:24], viewers[24:34]
        without = viewers[34:]  # no list: they get what is popular
        world.publish([*busy, *quiet], chance)
        world.start_all()
        assert world.alone is not None
        port, alone = world.proxy_port, world.alone.port

        for did in [*quiet[:5], *without, None]:
            assert pages_of(world, port, did) == pages_of(world, alone, did) != []
        # Each node has its shard's lists alone, and answers others with what is popular.
        other = next(did for did in quiet if not Shard(1, 2).has(bucket_of(did)))
        assert pages_of(world, world.nodes["1a"][0].port, other) == pages_of(world, alone, None)

        load = Load(world, port, busy)
        assert wait_until(lambda: len(load.less) >= 20)

        world.nodes["1a"][0].kill()
        count = sum(load.answered.values())
        assert wait_until(lambda: sum(load.answered.values()) > count + 100)

        world.stop_exchange("2b")
        world.publish(viewers[:34], chance)
        for name in ("1b", "2a"):
            assert wait_until(lambda name=name: world.generation_of(name) == 2), world.log(name)  # type: ignore[misc]
        assert world.generation_of("2b") == 1
        behind = next(did for did in quiet if Shard(2, 2).has(bucket_of(did)))
        assert world.page(world.nodes["2b"][0].port, behind, 8)[1] != world.page(alone, behind, 8)[1]
        count = sum(load.answered.values())
        assert wait_until(lambda: sum(load.answered.values()) > count + 50)
        world.nodes["2b"][0].send(signal.SIGCONT)
        assert wait_until(lambda: world.generation_of("2b") == 2), world.log("2b")

        del world.nodes["1a"]
        world.add_node("1c", 1)
        world.wait_for("1c")
        world.reload_proxy()
        count = sum(load.answered.values())
        assert wait_until(lambda: sum(load.answered.values()) > count + 100)
        load.stop()

        assert load.failures == []
        assert len(load.less) > 40
        assert wait_until(lambda: load.less <= world.answers_at_head()), world.log("head")
        for did in quiet[5:]:
            assert pages_of(world, port, did) == pages_of(world, alone, did) != []
        for did in busy:
            rejected = {post for viewer, post in load.less if viewer == did}
            for at in (port, *(world.nodes[name][0].port for name in world.nodes_of(did))):
                assert wait_until(
                    lambda did=did, at=at, rejected=rejected: rejected.isdisjoint(posts_on(world, at, did))
                )  # type: ignore[misc]


def posts_on(world: Cluster, port: int, did: str) -> set[str]:
    return {item["post"] for item in pages_of(world, port, did)}


def test_a_node_waits_for_its_first_lists_and_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with cluster(tmp_path, 4) as world:
        world.add_node("1a", 1)
        assert wait_until(lambda: "waiting for the head's lists" in world.log("1a"))
        assert not world.answers(world.nodes["1a"][0].port)
        world.publish(list(world.accounts), random.Random(2))
        world.start_head()
        world.wait_for("1a")
        did = next(did for did in world.accounts if world.nodes_of(did))
        assert len(pages_of(world, world.nodes["1a"][0].port, did)) == 120
        # Without the folder it serves what it has.
        world.shared.rename(tmp_path / "away")
        node = world.nodes["1a"][0]
        assert len(pages_of(world, node.port, did)) == 120
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(120) == 0


def test_what_a_machine_can_not_do_is_one_line(tmp_path: Path) -> None:
    for arguments, said in (
        (("sync",), "FORYOU_SHARED_DIR is not set"),
        (("node",), "FORYOU_SHARD is not set"),
        (("up", "--shard", "1/2"), "'foryou node' runs"),
        (("node", "--shard", "3/2"), "expected N/COUNT"),
    ):
        result = commands.run(*arguments, env=commands.environment(tmp_path))
        assert result.returncode == 1
        assert said in result.stderr
