"""What a machine knows of the exchange with others: for the operator, and for the head.

Owns: the form of both files that say it, writing and reading them, and what is wrong by them. Leaves to others: the
exchange (``sync``), showing it (``operate.status``, ``operate.doctor``, ``serving/http/exchange_metrics.py``).

``foryou sync`` writes ``exchange.json`` into the data directory, where every reader finds it though the shared folder
may be away, and says in the shared folder what the machine has, which the head reads of all of them. Times are in
microseconds since 1970 by the clocks of the machines, which agree to the second.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.nodes.part_manifest import PartManifest
from pipeline.nodes.shared_files import put_text
from pipeline.store.whole_files import whole
from sql import places
from sql.sqlite import rows_of

BEHIND_SECONDS = 120.0  # a part is taken within seconds, the first of a new node within minutes
SILENT_SECONDS = 120.0  # a machine says what it has every few seconds


@dataclass(frozen=True, slots=True)
class Machine:
    """What one machine has; ``shard`` is "" for the head."""

    name: str
    shard: str
    generation: int
    part: int  # the last part of the lists that it gave or took, 0 before the first
    part_us: int  # when it gave or took one
    at_us: int  # when it said so
    behind_us: int = 0  # when the oldest part was made that it has not taken, 0 when there is none


@dataclass(frozen=True, slots=True)
class JournalState:
    """The journals of one machine as another takes them."""

    machine: str
    written_us: int  # when the newest of its files was written to
    waiting_bytes: int  # what of them is not taken yet


@dataclass(frozen=True, slots=True)
class ExchangeState:
    """What ``exchange.json`` says."""

    own: Machine
    worked_us: int  # when all that is exchanged last was, 0 when it never was
    failures: Mapping[str, str]  # what is not exchanged now, and why
    head_generation: int  # of the newest part, 0 before the first
    journals: tuple[JournalState, ...]
    nodes: tuple[Machine, ...]  # at the head: every machine that ever said what it has, but the head

    def write(self, data_dir: Path) -> None:
        """Put it into the data directory, whole."""
        with whole(places.exchange(data_dir), synced=False) as draft:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")


class Problem(NamedTuple):
    """What is wrong with a machine's exchange, and what to do."""

    seen: str
    advice: str
    node: str = ""  # which one it is about, where it is another than this


def read_exchange(data_dir: Path) -> ExchangeState | None:
    """Return what the last ``foryou sync`` said, None when none ever ran here, or one of another version."""
    try:
        said: dict[str, Any] = json.loads(places.exchange(data_dir).read_text(encoding="utf-8"))
        return ExchangeState(
            **said
            | {
                "own": Machine(**said["own"]),
                "journals": tuple(JournalState(**each) for each in said["journals"]),
                "nodes": tuple(Machine(**each) for each in said["nodes"]),
            }
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def give_state(shared_dir: Path, own: Machine) -> None:
    """Say in the shared folder what this machine has."""
    put_text(json.dumps(asdict(own)), places.machines(shared_dir) / f"{own.name}.json")


def taken_part(data_dir: Path) -> int:
    """Return the number of the last part that a node has taken, 0 before the first."""
    rows = rows_of(places.serving(data_dir), "SELECT part FROM taken_part")
    return int(rows[0][0]) if rows else 0


def behind_since(manifest: PartManifest | None, part: int) -> int:
    """Return when the oldest part was made that comes after one, 0 when none does."""
    return min((each.made_us for each in manifest.parts if each.number > part), default=0) if manifest else 0


def known_nodes(shared_dir: Path, manifest: PartManifest | None) -> tuple[Machine, ...]:
    """Return what every node said last, by shard and name; what can't be read is passed over."""
    found = []
    for path in places.machines(shared_dir).glob("*.json"):
        try:
            said = Machine(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # it is being removed, or is of another version
            continue
        if said.shard:
            found.append(replace(said, behind_us=behind_since(manifest, said.part)))
    return tuple(sorted(found, key=lambda node: (node.shard, node.name)))


def journal_states(data_dir: Path, shared_dir: Path) -> tuple[JournalState, ...]:
    """Return how far each machine's journals are taken here, by name."""
    positions = dict(rows_of(places.activity(data_dir), "SELECT file, bytes FROM journal_positions"))
    written: dict[str, int] = {}
    waiting: Counter[str] = Counter()
    for path in places.journals(shared_dir).glob("*/*"):
        machine = path.parent.name
        try:
            status = path.stat()
        except FileNotFoundError:  # removed just now
            continue
        written[machine] = max(written.get(machine, 0), status.st_mtime_ns // 1000)
        waiting[machine] += max(0, status.st_size - positions.get(f"{machine}/{path.name}", 0))
    return tuple(JournalState(name, written[name], waiting[name]) for name in sorted(written))


def own_problems(state: ExchangeState | None, now_us: int) -> list[Problem]:
    """Return what is wrong with this machine's own exchange."""
    if state is None or now_us - state.own.at_us > SILENT_SECONDS * 1e6:
        said = "never ran" if state is None else f"said nothing for {(now_us - state.own.at_us) / 1e6:,.0f} s"
        return [
            Problem(
                f"foryou sync {said} here",
                "start it: 'foryou node' runs it on a node, 'foryou up' or foryou-sync.service on the head",
            )
        ]
    found = [
        Problem(
            f"{name}: {text}",
            "is the shared folder mounted here, and may this user write to it? The log of 'foryou sync' says more",
        )
        for name, text in state.failures.items()
    ]
    behind = _behind(state.own, now_us)
    if behind > BEHIND_SECONDS and not found:
        found.append(
            Problem(
                f"a part of the lists that the head gave {behind:,.0f} s ago is not here",
                "it is being taken, or this machine's disk can't keep up; the log of 'foryou sync' says what it takes",
            )
        )
    return found


def node_problems(state: ExchangeState, now_us: int) -> list[Problem]:
    """Return which nodes are behind or silent, by what the head knows of them."""
    found = []
    for node in state.nodes:
        silent, behind = (now_us - node.at_us) / 1e6, _behind(node, now_us)
        if silent > SILENT_SECONDS:
            found.append(
                Problem(
                    f"node {node.name} of shard {node.shard} said nothing for {silent:,.0f} s",
                    f"'foryou doctor' there says why; if it is no more, remove machines/{node.name}.json "
                    "from the shared folder",
                    node.name,
                )
            )
        elif behind > BEHIND_SECONDS:
            found.append(
                Problem(
                    f"node {node.name} of shard {node.shard} has not taken lists that were given {behind:,.0f} s ago",
                    "'foryou doctor' there says why; it serves its older lists meanwhile",
                    node.name,
                )
            )
    return found


def _behind(machine: Machine, now_us: int) -> float:
    return (now_us - machine.behind_us) / 1e6 if machine.behind_us else 0.0
