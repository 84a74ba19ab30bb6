"""Checks of the exchange with other machines, where several serve.

Owns: those. Leaves to others: what is wrong (``nodes.exchange_state``). They read what ``foryou sync`` wrote into the
data directory, so a shared folder that does not answer holds up nobody.
"""

import time

from pipeline.nodes.exchange_state import Problem, node_problems, own_problems, read_exchange
from pipeline.operate.doctor.findings import Check, SkippedError, WrongError
from pipeline.settings import Settings


def checks(settings: Settings) -> list[Check]:
    """Return the checks of a machine: of its own exchange, and at the head of the nodes."""
    own = Check("exchange", lambda: _own(settings))
    return [own, Check("nodes", lambda: _nodes(settings))] if settings.shard is None else [own]


def _own(settings: Settings) -> str:
    if settings.shared_dir is None:
        raise SkippedError("FORYOU_SHARED_DIR is not set: this machine serves alone")
    state, now_us = read_exchange(settings.data_dir), time.time_ns() // 1000
    _raise(own_problems(state, now_us))
    assert state is not None
    role = f"shard {settings.shard}" if settings.shard is not None else "the head"
    return (
        f"{role}: generation {state.own.generation} of {state.head_generation}, through {settings.shared_dir}"
    )


def _nodes(settings: Settings) -> str:
    if settings.shared_dir is None:
        raise SkippedError("this machine serves alone")
    state = read_exchange(settings.data_dir)
    if state is None or not state.nodes:
        raise SkippedError("no node has said what it has yet")
    _raise(node_problems(state, time.time_ns() // 1000))
    shards = ", ".join(sorted({node.shard for node in state.nodes}))
    return f"{len(state.nodes)} nodes, of shards {shards}"


def _raise(problems: list[Problem]) -> None:
    if problems:
        seen = "; ".join(problem.seen for problem in problems)
        raise WrongError(seen, "; ".join(dict.fromkeys(problem.advice for problem in problems)), blocks=False)
