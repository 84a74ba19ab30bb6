"""What a node and the head say of their exchange: status, doctor and metrics beside a real head and a real node."""

import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch_tools import settings_for
from node_cluster import HOST, Cluster, cluster
from serving_worlds import wait_until

from pipeline.nodes.exchange_state import (
    ExchangeState,
    node_problems,
    own_problems,
    read_exchange,
)
from pipeline.operate.doctor import exchange_checks
from pipeline.operate.doctor.findings import findings
from pipeline.operate.status.gather import gather
from pipeline.operate.status.lines import Level, Line, lines
from pipeline.settings import Settings
from sql import places
from sql.shards import Shard

LATER_US = 600_000_000


def settings_of(world: Cluster, name: str) -> Settings:
    """Return the settings of the head or of a node of shard 1/2."""
    settings = replace(settings_for(world.folder / name), shared_dir=world.shared)
    if name == "head":
        return settings
    return replace(settings, shard=Shard(1, 2), listen=(HOST, world.nodes[name][0].port))


def said(world: Cluster, name: str) -> ExchangeState:
    state = read_exchange(world.folder / name)
    assert state is not None
    return state


def status(world: Cluster, name: str) -> dict[str, Line]:
    """Return the lines of ``foryou status``, by subject."""
    return {line.subject: line for line in lines(gather(settings_of(world, name)))}


def checked(world: Cluster, name: str) -> dict[str, tuple[str, str, str]]:
    """Return what ``foryou doctor`` finds: outcome, what it saw, advice."""
    found = findings(exchange_checks.checks(settings_of(world, name)))
    return {finding.check: (finding.state, finding.seen, finding.advice) for finding in found}


def figures(world: Cluster, name: str) -> dict[str, float]:
    """Return what a node's web app tells Prometheus of the exchange."""
    answered, body = world.request(world.nodes[name][0].own_port, "GET", "/metrics")
    assert answered == 200
    found = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
    return {key: float(value) for key, value in found if key.startswith(("foryou_exchange", "foryou_lists"))}


def test_a_node_and_the_head_say_how_far_they_are(tmp_path: Path) -> None:
    with cluster(tmp_path, 6) as world:
        world.publish(list(world.accounts), random.Random(1))
        world.start_head()
        world.add_node("1a", 1)
        world.wait_for("1a")
        node = world.nodes["1a"][0]
        did = next(did for did in world.accounts if world.nodes_of(did))
        page = world.page(node.port, did)[1]
        assert world.less(node.port, did, page["feed"][0]["post"]) == 200

        def is_known() -> bool:
            state = said(world, "head")
            taken = [journal.waiting_bytes for journal in state.journals]
            return [each.generation for each in state.nodes] == [1] and taken == [0]

        assert wait_until(is_known), world.log("head")
        assert wait_until(lambda: said(world, "1a").worked_us > 0), world.log("1a")
        shown = status(world, "1a")
        assert shown["running"].level is Level.OK, shown["running"].text
        assert shown["shard 1/2"].level is Level.OK
        assert shown["shard 1/2"].text.startswith("generation 1 of 1, lists taken ")
        assert not {"stream", "lake", "landing"} & shown.keys()
        of_node = status(world, "head")["node"]
        assert of_node.level is Level.OK
        assert of_node.text.startswith(f"{said(world, '1a').own.name}, shard 1/2, generation 1, lists taken ")
        assert of_node.text.endswith(", all taken")
        assert checked(world, "1a") == {
            "exchange": ("ok", f"shard 1/2: generation 1 of 1, through {world.shared}", "")
        }
        assert checked(world, "head")["nodes"] == ("ok", "1 nodes, of shards 1/2", "")
        [behind] = [value for key, value in figures(world, "1a").items() if key.startswith("foryou_lists")]
        assert behind == 0.0

        node.send(signal.SIGSTOP)
        world.publish(list(world.accounts), random.Random(2))
        assert wait_until(lambda: said(world, "head").nodes[0].behind_us > 0), world.log("head")
        now_us = time.time_ns() // 1000
        [silent] = node_problems(said(world, "head"), now_us + LATER_US)
        assert "said nothing for" in silent.seen and "machines/" in silent.advice
        spoken = [replace(each, at_us=now_us + LATER_US) for each in said(world, "head").nodes]
        [late] = node_problems(replace(said(world, "head"), nodes=tuple(spoken)), now_us + LATER_US)
        assert "has not taken lists that were given" in late.seen
        node.send(signal.SIGCONT)
        assert wait_until(lambda: said(world, "head").nodes[0].generation == 2), world.log("1a")
        assert wait_until(lambda: said(world, "head").nodes[0].behind_us == 0), world.log("1a")

        world.shared.rename(tmp_path / "away")
        assert wait_until(lambda: "folder" in said(world, "1a").failures), world.log("1a")
        outcome, seen, advice = checked(world, "1a")["exchange"]
        assert outcome == "wrong" and "there is no folder" in seen and "mounted" in advice
        line = status(world, "1a")["shard 1/2"]
        assert line.level is Level.BAD and line.text.startswith("generation 2 of 2, ")
        age = figures(world, "1a")["foryou_exchange_age_seconds"]
        assert wait_until(lambda: figures(world, "1a")["foryou_exchange_age_seconds"] > age)
        (tmp_path / "away").rename(world.shared)
        assert wait_until(lambda: checked(world, "1a")["exchange"][0] == "ok"), world.log("1a")


def test_who_never_exchanged_or_stopped_has_what_to_start_named(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as world:
        world.start_head()
        assert wait_until(lambda: read_exchange(tmp_path / "head") is not None), world.log("head")
        state: Any = said(world, "head")
        [problem] = own_problems(state, state.own.at_us + LATER_US)
        assert problem.seen.startswith("foryou sync said nothing for 600 s here")
        assert own_problems(state, state.own.at_us) == []
        places.exchange(tmp_path / "head").write_text('{"of": "another version"}')
        [problem] = own_problems(read_exchange(tmp_path / "head"), state.own.at_us)
        assert problem.seen == "foryou sync never ran here"
    shutil.rmtree(tmp_path / "shared")
    alone = replace(settings_for(tmp_path / "head"), shared_dir=None)
    assert [finding.state for finding in findings(exchange_checks.checks(alone))] == ["skipped", "skipped"]
