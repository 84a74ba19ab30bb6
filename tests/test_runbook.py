"""The runbook: each alert of OPERATIONS.md fires on what the program says in that trouble, and each remedy is tried.

What ingest's own figures trigger is shown here with promtool; alerts on other programs' figures have made-up ones in
deploy/prometheus/foryou.rules.test.yml. REMEDIES says where each remedy is tried.
"""

import json
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import commands
import httpx
import prometheus_client
import prometheus_client.parser
import pytest
from batch_tools import settings_for
from serving_worlds import config_of
from streams import LineStream, free_port, wait_until
from test_ingest import LIKES
from worlds import World

from pipeline.batch import jobs
from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.writer import QUEUE_CHUNKS
from pipeline.store.any_likes import has_likes
from pipeline.store.events import EventBatch
from pipeline.store.locks import exclusive
from serving.process.web_server import WebServer

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy" / "prometheus" / "foryou.rules.yml"
MINUTES = 60
REMEDIES = {
    "ForYouIngestDown": "test_runbook.py::test_an_ingest_that_is_down_says_why_in_one_line_and_comes_back",
    "ForYouNoEvents": "test_runbook.py::test_a_stream_that_is_gone_is_found_and_another_one_helps",
    "ForYouClock": "test_lying_clocks.py::test_a_machine_that_is_behind_stores_nothing_until_it_is_set_right",
    "ForYouBehind": "test_status.py::test_a_store_that_catches_up_after_days_is_no_alarm",
    "ForYouLosingEvents": "test_backfill_gaps.py::test_gaps_and_a_partial_first_day_are_healed",
    "ForYouQueueFull": "test_runbook.py::test_the_batch_has_the_weight_that_the_runbook_names",
    "ForYouSlowCommits": "test_ingest_faults.py::test_a_disk_that_is_full_under_ingest",
    "ForYouReconnecting": "test_runbook.py::test_a_stream_that_is_gone_is_found_and_another_one_helps",
    "ForYouUnhealthy": "test_runbook.py::test_health_says_what_is_wrong_until_a_batch_has_run",
    "ForYouAway": "home/test_chain.py::test_home_goes_away_and_comes_back",
    "ForYouCertificate": "test_doctor.py::test_certificates",
    "ForYouDisk": "test_batch_compact.py::test_days_past_retention_leave_and_stay_away",
    "ForYouUnitFailed": "home/test_chain.py::test_units_run_as_they_are_meant_to",
}


def test_every_alert_has_a_remedy_that_is_tried() -> None:
    assert set(REMEDIES) == set(re.findall(r"alert: (\w+)", RULES.read_text()))
    for place in REMEDIES.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), place


def samples(metrics: Metrics) -> dict[str, float]:
    """What Prometheus reads of ingest: series and value."""
    text = prometheus_client.generate_latest(metrics.registry).decode()
    found = {}
    for family in prometheus_client.parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ", ".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def fired(trouble: Callable[[Metrics], None], tmp_path: Path) -> set[str]:
    """The alerts that fire when this happens every minute for an hour."""
    metrics = Metrics()
    trouble(metrics)
    before = samples(metrics)
    trouble(metrics)
    series = [{"series": 'up{job="foryou-ingest"}', "values": f"1x{MINUTES}"}]
    for name, value in samples(metrics).items():
        began = before.get(name, 0.0)
        series.append({"series": name, "values": f"{began}+{value - began}x{MINUTES}"})
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    tried = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                # Each is said not to fire: promtool then names those that do.
                "alert_rule_test": [
                    {"eval_time": f"{MINUTES - 5}m", "alertname": name, "exp_alerts": []} for name in alerts
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps(tried))  # JSON is YAML too
    result = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 0 or "alertname" in said, said
    return set(re.findall(r"alertname: ?(\w+)", said))


def committed(
    metrics: Metrics, lag: float | None = 1.0, seconds: float = 0.1, queued: int = 0, **counts: int
) -> None:
    kinds = Counter({("connection", name): count for name, count in counts.items()})
    if lag is not None:
        kinds["event", "like"] = 1_000
    for _ in range(60):
        metrics.committed(EventBatch(counts=kinds), 1_000, seconds, lag, queued)
        kinds = Counter()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus is not installed")
@pytest.mark.parametrize(
    ("trouble", "alerts"),
    [
        (lambda metrics: committed(metrics), set()),
        (lambda metrics: committed(metrics, lag=None, connect_failed=1), {"ForYouNoEvents"}),
        (lambda metrics: (committed(metrics), metrics.set_holding(True)), {"ForYouClock"}),
        (lambda metrics: committed(metrics, lag=1_000.0), {"ForYouBehind"}),
        (lambda metrics: committed(metrics, lag=70_000.0), {"ForYouBehind", "ForYouLosingEvents"}),
        (lambda metrics: committed(metrics, queued=QUEUE_CHUNKS - 4), {"ForYouQueueFull"}),
        (lambda metrics: committed(metrics, seconds=9.0), {"ForYouSlowCommits"}),
        (lambda metrics: committed(metrics, closed_1006=3), {"ForYouReconnecting"}),
    ],
)
def test_what_ingest_says_in_trouble_fires_its_alert_and_no_other(
    trouble: Callable[[Metrics], None], alerts: set[str], tmp_path: Path
) -> None:
    assert fired(trouble, tmp_path) == alerts


def test_an_ingest_that_is_down_says_why_in_one_line_and_comes_back(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with LineStream(LIKES) as stream:
        env = commands.environment(
            tmp_path, stream_url=stream.url, stream_start_hours="1000000", metrics_listen=address
        )
        with exclusive(tmp_path, "ingest"):
            down = commands.run("ingest", env=env)
        assert down.returncode == 1
        assert re.fullmatch(r"foryou: another ingest \(process \d+\) .*\n", down.stderr)
        with commands.running("ingest", env=env):  # nothing of it was left that is in the way
            wait_until(lambda: has_likes(tmp_path))
            assert "foryou_events_total" in httpx.get(f"http://{address}/metrics", trust_env=False).text


def test_a_stream_that_is_gone_is_found_and_another_one_helps(tmp_path: Path) -> None:
    gone = f"ws://127.0.0.1:{free_port()}/subscribe"
    env = commands.environment(tmp_path, stream_url=gone, stream_start_hours="1000000")
    reported = json.loads(
        commands.run("doctor", "--json", env=env | {"FORYOU_PLC_URL": "http://127.0.0.1:9"}).stdout
    )
    found = {finding["check"]: finding for finding in reported}
    assert found["network"]["state"] == "wrong"
    now = json.dumps({"did": "did:plc:ann", "time_us": time.time_ns() // 1000, "kind": "identity"})
    with LineStream([*LIKES, now]) as stream:
        env["FORYOU_STREAM_URL"] = f"{gone},{stream.url}"
        with commands.running("ingest", env=env):
            wait_until(lambda: has_likes(tmp_path))
        reported = json.loads(commands.run("doctor", "--json", env=env).stdout)
        found = {finding["check"]: finding for finding in reported}
    assert found["stream"]["state"] == "ok"
    assert f"not from {gone}" in found["stream"]["seen"]
    status = commands.run("status", env=env).stdout
    [connections] = re.findall(r"^connections +(.*)", status, re.MULTILINE)
    assert re.search(r"could not connect \d+", connections)
    assert "turned to another host 1" in connections


def test_the_batch_has_the_weight_that_the_runbook_names() -> None:
    operations = (ROOT / "OPERATIONS.md").read_text()
    [weight] = re.findall(r"`systemctl show -p CPUWeight foryou-schedule` must say (\d+)", operations)
    unit = (ROOT / "deploy" / "systemd" / "foryou-schedule.service").read_text()
    assert f"\nCPUWeight={weight}\n" in unit


def test_health_says_what_is_wrong_until_a_batch_has_run(tmp_path: Path) -> None:
    settings = settings_for(World().like("ann", "p1").like("bob", "p1").write(tmp_path))
    server = WebServer(replace(config_of(tmp_path), listen=("127.0.0.1", 0), pages_listen=None))
    host, port = server.address
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        answer = httpx.get(f"http://{host}:{port}/health", trust_env=False)
        assert (answer.status_code, answer.json()["reason"]) == (
            503,
            "there is no serving.sqlite yet: the batch has not run",
        )
        jobs.run(settings, "all")
        answer = httpx.get(f"http://{host}:{port}/health", trust_env=False)
        assert (answer.status_code, answer.json()["ok"]) == (200, True)
    finally:
        server.stop()
        thread.join()
