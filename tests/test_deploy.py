"""deploy/: the files agree with each other and with the program, and the tools that read them accept them.

A tool that is not on this machine skips its test; tests/home runs the whole chain for real.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import prometheus_client
import prometheus_client.parser
import pytest
from unit_files import SYSTEMD, unit

from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.writer import QUEUE_CHUNKS
from pipeline.nodes.exchange_state import ExchangeState, Machine
from pipeline.settings import load_settings
from pipeline.store.events import EventBatch
from serving.http.exchange_metrics import exchange_text
from serving.http.recent_pages import FEED_ADDRESS
from serving.http.web_metrics import WebMetrics
from serving.identity.default_resolver import SLOTS
from serving.pages.assets import address
from serving.process.workers import START_SECONDS, STOP_SECONDS

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
UNITS = sorted(SYSTEMD.glob("*.service"))
VALUES = {
    "FORYOU_HOSTNAME": "feed.example.com",
    "FORYOU_PUBLISHER_DID": "did:plc:" + "a" * 24,
    "FORYOU_LISTEN": "10.77.0.2:8080",
}


def run(*command: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool; the test is skipped where it is missing."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not on this machine")
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, env=os.environ | (env or {})
    )


def example() -> dict[str, str]:
    """The values of the example environment file."""
    lines = (DEPLOY / "foryou.env").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))


def test_the_environment_file_holds_settings_alone() -> None:
    values = example()
    settings = load_settings({}, values | {"FORYOU_PUBLISHER_DID": VALUES["FORYOU_PUBLISHER_DID"]}, DEPLOY)
    assert settings.listen == ("100.64.0.2", 8080)
    assert settings.pages == "local"
    assert "PASSWORD" not in "".join(values)


def test_the_short_way_is_five_commands_whose_files_are_accepted(tmp_path: Path) -> None:
    [block] = re.findall(
        r"^```sh short\n(.*?)^```", (DEPLOY.parent / "OPERATIONS.md").read_text(), re.M | re.S
    )
    lines = block.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "foryou up"
    settings, caddy = (line for line in lines if line.startswith("printf"))
    subprocess.run(
        ["sh", "-c", settings.replace("did:plc:...", VALUES["FORYOU_PUBLISHER_DID"])],
        cwd=tmp_path,
        check=True,
    )
    loaded = load_settings({}, {}, tmp_path)
    assert (loaded.hostname, loaded.trusted_proxies) == ("feed.example.com", ("127.0.0.1/32",))
    made = caddy.partition(" | ")[0] + " > Caddyfile"
    subprocess.run(["sh", "-c", made], cwd=tmp_path, check=True)
    assert f"reverse_proxy 127.0.0.1:{loaded.listen[1]}\n" in (tmp_path / "Caddyfile").read_text()
    result = run("caddy", "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile")
    assert result.returncode == 0, result.stderr


def test_the_short_way_in_containers_is_five_commands_for_the_parts_of_the_file(tmp_path: Path) -> None:
    [block] = re.findall(
        r"^```sh compose\n(.*?)^```", (DEPLOY.parent / "OPERATIONS.md").read_text(), re.M | re.S
    )
    lines = block.splitlines()
    assert len(lines) == 5
    [values] = (line for line in lines if line.startswith("printf"))
    (tmp_path / "container").mkdir()
    line = values.replace("did:plc:...", VALUES["FORYOU_PUBLISHER_DID"])
    subprocess.run(["sh", "-c", line], cwd=tmp_path / "container", check=True)
    written = dict(line.split("=") for line in (tmp_path / "foryou.env").read_text().splitlines())
    loaded = load_settings({}, written, tmp_path)
    assert (loaded.hostname, loaded.publisher_did) == ("feed.example.com", VALUES["FORYOU_PUBLISHER_DID"])
    assert "10.0.0.0/8" in loaded.trusted_proxies
    # Where the second command leads are the file, and above it the values that all parts read.
    folder = DEPLOY.parent / re.findall(r"cd foryou/(\S+)", block)[0]
    compose = (folder / "compose.yml").read_text()
    assert set(re.findall(r"env_file: (\S+)", compose)) == {"../foryou.env"}
    [part] = re.findall(r"exec (\w+) foryou publish", block)
    assert f"\n  {part}:\n" in compose


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_run_our_commands_as_their_own_user_within_limits(path: Path) -> None:
    service = unit(path)["Service"]
    [command] = service["ExecStart"]
    assert command.startswith(f"/opt/foryou/bin/foryou {path.stem.removeprefix('foryou-')}")
    assert service["User"] == ["foryou"]
    assert service["EnvironmentFile"] == ["/etc/foryou/foryou.env"]
    assert service["ProtectSystem"] == ["strict"]
    assert "MemoryMax" in service
    assert "CPUWeight" in service
    if service["Type"] == ["notify"]:
        assert {"WatchdogSec", "Restart"} <= service.keys()


def test_the_batch_never_comes_before_the_web_app() -> None:
    batch, web_app = (unit(SYSTEMD / f"foryou-{part}.service")["Service"] for part in ("schedule", "serve"))
    for weight in ("CPUWeight", "IOWeight"):
        assert int(batch[weight][0]) * 10 <= int(web_app[weight][0])
    assert int(batch["OOMScoreAdjust"][0]) > 0 > int(web_app["OOMScoreAdjust"][0])


def test_the_web_app_may_have_several_workers() -> None:
    service = unit(SYSTEMD / "foryou-serve.service")["Service"]
    compose = (DEPLOY / "container" / "compose.yml").read_text()
    [in_container] = re.findall(r"command: \[serve\].*?pids_limit: (\d+)", compose, re.DOTALL)
    threads = load_settings({}, {}, DEPLOY).serve_threads + SLOTS + 2
    for limit in (service["TasksMax"][0], in_container):
        assert int(limit) >= 7 * threads
    # The end: workers write what viewers did, then the parent ends; systemd must not be quicker.
    assert float(service["TimeoutStopSec"][0]) / 2 > STOP_SECONDS
    assert float(service["TimeoutStartSec"][0]) / 2 > START_SECONDS


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    # The command need not be installed where the tests run, but must be there for systemd to be content.
    for path in SYSTEMD.iterdir():
        text = path.read_text().replace("/opt/foryou/bin/foryou", shutil.which("true") or "/bin/true")
        (tmp_path / path.name).write_text(text)
    result = run("systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir()))
    # Complaints about units of the machine itself are not ours.
    ours = [line for line in (result.stderr + result.stdout).splitlines() if "foryou" in line]
    assert ours == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_units_are_hardened(path: Path) -> None:
    result = run("systemd-analyze", "security", "--offline=true", path)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    if found is None:
        pytest.skip(f"systemd-analyze can't judge a file here: {result.stderr.strip()[:100]}")
    assert float(found[1]) <= 2.0


def test_the_containers_run_our_commands_of_what_is_in_the_image() -> None:
    compose = (DEPLOY / "container" / "compose.yml").read_text()
    assert re.findall(r"command: \[(\w+)\]", compose) == ["ingest", "schedule", "serve"]
    mounted = re.findall(r"- (\.\./\S+?):/", compose) + re.findall(r"env_file: (\S+)", compose)
    assert len(mounted) >= 4
    for path in mounted:
        assert (DEPLOY / "container" / path).is_file()
    image = (DEPLOY / "container" / "Containerfile").read_text()
    # A container's /tmp is memory, and that has a limit: what a command spills must be on a disk.
    [spilled_to] = re.findall(r"TMPDIR=(\S+)", image)
    assert f":{spilled_to}\n" in compose
    let_in = set(re.findall(r"^!(\S+)", (DEPLOY.parent / ".dockerignore").read_text(), re.MULTILINE))
    for line in re.findall(r"^COPY ([^-].*) \S+$", image, re.MULTILINE):
        for source in line.split():
            assert source in let_in
            assert (DEPLOY.parent / source).exists()


def test_compose_accepts_its_file() -> None:
    result = run("docker-compose", "--file", DEPLOY / "container" / "compose.yml", "config", "--services")
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) == {"ingest", "schedule", "serve", "caddy", "cache"}


def test_caddy_accepts_the_caddyfile() -> None:
    path = DEPLOY / "vps" / "Caddyfile"
    result = run("caddy", "validate", "--adapter", "caddyfile", "--config", path, env=VALUES)
    assert result.returncode == 0, result.stderr
    assert run("caddy", "fmt", path).stdout.strip() == path.read_text().strip()


def test_the_caddyfile_passes_on_what_pages_for_everybody_need() -> None:
    """Their addresses and the files that their templates load; a page without its style is no page."""
    text = (DEPLOY / "vps" / "Caddyfile").read_text()
    passed = {
        path for line in re.findall(r"^\s*(?:@\w+ )?path (.*)$", text, re.MULTILINE) for path in line.split()
    }
    assert {"/", "/why", "/compare", "/favicon.ico", "/assets/*"} <= passed
    assert address("style.css").startswith("/assets/")


def test_the_caddyfile_uses_values_of_the_environment_file_alone() -> None:
    used = set(re.findall(r"\{\$([A-Z_]+)", (DEPLOY / "vps" / "Caddyfile").read_text()))
    assert used - {"CADDY_GLOBAL_OPTIONS", "CADDY_VERSION"} <= example().keys()


def test_nginx_accepts_the_cache(tmp_path: Path) -> None:
    cache = (DEPLOY / "vps" / "anonymous-cache.conf").read_text().replace("/var/cache", str(tmp_path))
    (tmp_path / "cache.conf").write_text(cache)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ include {tmp_path}/cache.conf; }}"
    )
    result = run("nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert "test is successful" in result.stderr, result.stderr


def test_nftables_accepts_the_rules() -> None:
    result = run("nft", "--check", "-f", DEPLOY / "nftables.conf")
    if "Operation not permitted" in result.stderr:
        pytest.skip("nft must be run by root")
    assert result.returncode == 0, result.stderr


def test_prometheus_accepts_the_rules_and_they_fire_as_meant() -> None:
    rules = run("promtool", "check", "rules", DEPLOY / "prometheus" / "foryou.rules.yml")
    assert rules.returncode == 0, rules.stderr
    config = run("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")
    assert config.returncode == 0, config.stderr
    fired = run("promtool", "test", "rules", DEPLOY / "prometheus" / "foryou.rules.test.yml")
    assert fired.returncode == 0, fired.stdout + fired.stderr


def test_every_alert_is_made_to_fire() -> None:
    rules, tried = (
        (DEPLOY / "prometheus" / name).read_text() for name in ("foryou.rules.yml", "foryou.rules.test.yml")
    )
    fired = set(re.findall(r'alertname="(\w+)"', tried))
    assert fired == set(re.findall(r"alert: (\w+)", rules))


def exported() -> set[tuple[str, frozenset[str]]]:
    """Every figure of ingest and of the exchange: its name, and its labels' names and, of buckets, their bounds."""
    metrics = Metrics()
    batch = EventBatch(counts=Counter({(kind, "x"): 1 for kind in ("event", "drop", "connection")}))
    metrics.committed(batch, size=1, seconds=0.1, lag_seconds=1.0, queued=1)
    text = prometheus_client.generate_latest(metrics.registry).decode()
    head, node = Machine("head", "", 1, 1, 1, 1), Machine("node-1", "1/2", 1, 1, 1, 1)
    with tempfile.TemporaryDirectory() as folder:
        ExchangeState(head, 1, {}, 1, (), (node,)).write(Path(folder))
        text += exchange_text(Path(folder), 2.0).decode()
    return {
        (sample.name, labels_of(sample.labels))
        for family in prometheus_client.parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels_of(labels: Mapping[str, str]) -> frozenset[str]:
    """Label names; a bucket's bound is a number, however it is written."""
    return frozenset(f"le={float(value)}" if name == "le" else name for name, value in labels.items())


def test_the_alerts_watch_figures_that_are_offered() -> None:
    offered = exported()
    rules = (DEPLOY / "prometheus" / "foryou.rules.yml").read_text()
    watched = set(re.findall(r"\bforyou_[a-z_]+", rules))
    assert len(watched) >= 5
    assert watched <= {name for name, _ in offered}
    # What the rules are tried on looks like what the programs say.
    tried = re.findall(
        r"series: '(foryou_\w+)(?:\{(.*?)\})?'", (DEPLOY / "prometheus" / "foryou.rules.test.yml").read_text()
    )
    assert {name for name, _ in tried} == watched
    for name, labels in tried:
        pairs = dict(re.findall(r'(\w+)="(.*?)"', labels))
        assert (name, labels_of(pairs)) in offered, (name, pairs)
    # A queue counts as full before it is.
    [full] = re.findall(r"foryou_queue_chunks\[10m\]\) >= (\d+)", rules)
    assert QUEUE_CHUNKS / 2 < int(full) < QUEUE_CHUNKS


def test_the_dashboard_shows_figures_that_are_offered_and_all_that_alerts_watch() -> None:
    board = json.loads((DEPLOY / "grafana" / "foryou.json").read_text())
    shown = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    web = WebMetrics()
    web.expect(FEED_ADDRESS, 200)
    offered = exported()
    for family in prometheus_client.parser.text_string_to_metric_families(web.text().decode()):
        offered |= {(sample.name, labels_of(sample.labels)) for sample in family.samples}
    names = set(re.findall(r"\bforyou_[a-z_]+", shown))
    assert names <= {name for name, _ in offered}
    rules = (DEPLOY / "prometheus" / "foryou.rules.yml").read_text()
    assert set(re.findall(r"\bforyou_[a-z_]+", rules)) <= names
    for name, labels in re.findall(r"(foryou_\w+)\{(.*?)\}", shown):
        given = set(re.findall(r"(\w+)=", labels))
        assert any(name == each and given <= has for each, has in offered), (name, labels)
    assert FEED_ADDRESS in shown
    # Panels stand beside each other, on a page of 24 columns.
    cells = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + row)
        for panel in board["panels"]
        for column in range(panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


def test_prometheus_accepts_what_the_dashboard_asks(tmp_path: Path) -> None:
    board = json.loads((DEPLOY / "grafana" / "foryou.json").read_text())
    wanted = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(wanted)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    result = run("promtool", "check", "rules", tmp_path / "rules.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_lag_is_offered_once_there_is_an_event() -> None:
    """A store without events is no store that is decades behind: two alerts would fire on each new installation."""
    metrics = Metrics()
    metrics.committed(EventBatch(), size=0, seconds=0.1, lag_seconds=None, queued=0)
    assert b"foryou_stream_lag" not in prometheus_client.generate_latest(metrics.registry)
    for seconds in (5.0, 2.0):
        metrics.committed(EventBatch(), size=0, seconds=0.1, lag_seconds=seconds, queued=0)
        lag = f"foryou_stream_lag_seconds {seconds}".encode()
        assert lag in prometheus_client.generate_latest(metrics.registry)


def test_prometheus_scrapes_where_ingest_answers() -> None:
    address = example()["FORYOU_METRICS_LISTEN"]
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert re.search(
        rf'job_name: foryou-ingest\n +static_configs:\n +- targets: \["{re.escape(address)}"\]', config
    )


def test_every_alert_is_explained() -> None:
    operations = (DEPLOY.parent / "OPERATIONS.md").read_text()
    alerts = re.findall(r"alert: (\w+)", (DEPLOY / "prometheus" / "foryou.rules.yml").read_text())
    assert len(alerts) >= 8
    for alert in alerts:
        assert f"| `{alert}` |" in operations
