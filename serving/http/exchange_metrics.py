"""What ``foryou sync`` knows of the exchange with other machines, for Prometheus.

Owns: the names and units of these figures. Leaves to others: the file that they come from
(``pipeline/nodes/exchange_state.py``), GET /metrics (``web_metrics``). Where one machine serves alone there are none.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sql import places


def exchange_text(data_dir: Path, now: float) -> bytes:
    """Return the figures in Prometheus's text form; ``now`` is in seconds since 1970."""
    try:
        said = json.loads(places.exchange(data_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return b""
    registry = prometheus_client.CollectorRegistry()
    registry.register(_Figures(said, now))
    try:
        return prometheus_client.generate_latest(registry)
    except (KeyError, TypeError):  # of another version
        return b""


class _Figures(Collector):
    def __init__(self, said: dict[str, Any], now: float) -> None:
        self._said, self._now = said, now

    def describe(self) -> list[GaugeMetricFamily]:
        """Say nothing, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each figure."""
        own, nodes, labels = self._said["own"], self._said["nodes"], ("machine", "shard")
        worked = GaugeMetricFamily(
            "foryou_exchange_age_seconds",
            "Since all that this machine exchanges with others last was; since 1970 when it never was.",
        )
        worked.add_metric((), self._age(self._said["worked_us"]))
        yield worked
        behind = GaugeMetricFamily(
            "foryou_lists_behind_seconds",
            "How long the oldest part of the lists that a node has not taken is there; 0 when it has all.",
            labels=labels,
        )
        silent = GaugeMetricFamily(
            "foryou_node_silent_seconds", "Since a node last said what it has.", labels=labels
        )
        for machine in nodes if not own["shard"] else [own]:
            named = machine["name"], machine["shard"]
            behind.add_metric(named, self._age(machine["behind_us"]) if machine["behind_us"] else 0.0)
            if machine is not own:
                silent.add_metric(named, self._age(machine["at_us"]))
        yield behind
        yield silent
        waiting = GaugeMetricFamily(
            "foryou_journal_waiting_bytes",
            "What viewers did at a machine that this one has not taken yet.",
            labels=("machine",),
        )
        for journal in self._said["journals"]:
            waiting.add_metric((journal["machine"],), journal["waiting_bytes"])
        yield waiting

    def _age(self, time_us: int) -> float:
        return max(0.0, self._now - time_us / 1e6)
