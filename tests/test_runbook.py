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
from pipeline.explore import after_batch, session
from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.writer import QUEUE_CHUNKS
from pipeline.store.any_likes import has_likes
from pipeline.store.events import EventBatch
from pipeline.store.locks import exclusive
from serving.process.web_server import WebServer
from sql import places

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
    "ForYouDisk": "test_runbook.py::test_fewer_days_and_fewer_backups_take_less_room",
    "ForYouUnitFailed": "test_runbook.py::test_a_backup_that_failed_says_why_in_one_line_and_the_next_one_succeeds",
    "ForYouNodeSilent": "test_nodes.py::test_nodes_behind_the_proxy",
    "ForYouNodeBehind": "test_exchange_state.py::test_a_node_and_the_head_say_how_far_they_are",
    "ForYouExchange": "test_exchange_state.py::test_who_never_exchanged_or_stopped_has_what_to_start_named",
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


def names_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_fewer_days_and_fewer_backups_take_less_room(tmp_path: Path) -> None:
    data_dir, backups = tmp_path / "data", tmp_path / "backups"
    world = World()
    for hours in range(1, 96, 3):
        world.like("ann", f"p{hours}", hours_ago=hours).like("bob", f"p{hours}", hours_ago=hours)
    jobs.run(settings_for(world.write(data_dir)), "all")
    env = commands.environment(data_dir)
    for _ in range(2):
        assert commands.run("backup", str(backups), env=env).returncode == 0
    assert len(list(backups.glob("*Z"))) == 2
    assert commands.run("backup", str(backups), "--keep", "1", env=env).returncode == 0
    assert len(list(backups.glob("*Z"))) == 1
    days, lake = len(places.closed_days(data_dir)), names_below(places.lake(data_dir) / "likes")
    jobs.run(settings_for(data_dir, {"seed_window_days": 2}), "compact")
    assert len(places.closed_days(data_dir)) < days
    assert names_below(places.lake(data_dir) / "likes") < lake


def test_a_backup_that_failed_says_why_in_one_line_and_the_next_one_succeeds(tmp_path: Path) -> None:
    """What ``journalctl -u foryou-backup`` shows is what the command says; systemd calls status 1 failed."""
    data_dir, folder = tmp_path / "data", tmp_path / "backups"
    jobs.run(settings_for(World().like("ann", "p1").like("bob", "p1").write(data_dir)), "all")
    env = commands.environment(data_dir)
    folder.write_text("a file where the disk of the backups should be mounted")
    failed = commands.run("backup", str(folder), env=env)
    assert failed.returncode == 1
    assert re.fullmatch(rf"foryou: .*{re.escape(str(folder))}.*\n", failed.stderr), failed.stderr
    folder.unlink()
    assert commands.run("backup", str(folder), env=env).returncode == 0
    assert len(list(folder.glob("*Z/backup.json"))) == 1


def test_what_may_be_deleted_when_it_is_damaged_is_computed_again(tmp_path: Path) -> None:
    text = (ROOT / "OPERATIONS.md").read_text()
    [listed] = re.findall(r"You can delete (.*?)\. They are computed again", text)
    names = re.split(r", | and ", listed)
    assert {"serving.sqlite", "explore/", "lake/neighbours.parquet"} <= set(names)
    world = World()
    for number, name in enumerate(("ann", "bob", "cat")):
        world.like(name, "old1", hours_ago=60).like(name, "old2", hours_ago=50)
        world.post(f"p{number}", by=f"author {number}").like(name, f"p{number}", hours_ago=1)
    settings = settings_for(world.write(tmp_path))

    def lists() -> list[tuple[object, ...]]:
        jobs.run(settings, "all")
        after_batch.run(settings)
        with session.open_session(tmp_path, 1) as connection:
            query = "SELECT viewer_did, rank, post_uri, score FROM candidates ORDER BY ALL"
            return connection.execute(query).fetchall()

    before = lists()
    assert len(before) > 3
    for name in names:
        path = tmp_path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
    assert lists() == before
