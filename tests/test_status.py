"""``foryou status``: what it says of a store, in words, colours and JSON."""

import json
import os
import pty
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import commands
import pytest
from batch_tools import settings_for
from streams import free_port, wait_until
from worlds import World

from pipeline.batch import jobs
from pipeline.operate.status.gather import gather
from pipeline.operate.status.lines import Level, lines
from pipeline.operate.status.show import as_text
from pipeline.operate.status.web_app_status import web_app_figures
from pipeline.settings import Settings, load_settings
from pipeline.store.locks import exclusive
from sql.sqlite import connect

HOUR_US = 3_600_000_000
GAP_US = 1_795_489_210_000_000  # 2026-11-24 03:00:10Z


def write(data_dir: Path) -> Path:
    """A store with lists, a gap, and a stream that changed hosts."""
    world = World().post("q1", by="dan").visit("ann")
    for name in ("ann", "bob"):
        world.like(name, "p1", hours_ago=40)
    world.like("bob", "q1", hours_ago=0.5)
    jobs.run(settings_for(world.write(data_dir)), "all")
    landing = connect(data_dir / "landing.sqlite")
    insert = (
        "INSERT INTO stream_cursors (host, wire, value, event_us, committed_us, events_per_second) "
        "VALUES (?, 'jetstream-v1', 1, ?, ?, ?)"
    )
    landing.execute(insert, ("first.example", GAP_US, GAP_US, 250.0))
    landing.execute(insert, ("second.example", GAP_US + HOUR_US, GAP_US + HOUR_US, 300.4))
    landing.execute(
        "INSERT INTO gaps (from_us, to_us, host, wire, noted_us) VALUES (?, ?, 'second.example', 'jetstream-v1', 0)",
        (GAP_US, GAP_US + 2 * HOUR_US + 2_000_000),
    )
    counted = [("event", "like", 12_345), ("connection", "failover", 1), ("connection", "closed_1006", 2)]
    landing.executemany("INSERT INTO counters VALUES (?, ?, ?)", counted)
    landing.execute("INSERT INTO gauges VALUES ('commit_seconds', 0.25, ?)", (GAP_US,))
    landing.close()
    return data_dir


def alone(data_dir: Path) -> Settings:
    """Return settings whose address nobody listens on, whatever else runs on this machine."""
    return replace(settings_for(data_dir), listen=("127.0.0.1", free_port()))


def said(data_dir: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines(gather(alone(data_dir))):
        found.setdefault(line.subject, []).append(line.text)
    return found


def test_it_says_what_an_operator_asks(tmp_path: Path) -> None:
    found = said(write(tmp_path))
    (stream,) = found["stream"]
    assert stream.startswith("second.example (jetstream-v1), events up to 2026-11-24 04:00:10Z, ")
    assert stream.endswith(" behind, 300 events/s; 1 failovers, before on first.example")
    assert found["gap"] == ["2026-11-24 03:00:10Z to 05:00:12Z (2 h 00 min): day 2026-11-24 partial"]
    assert found["connections"] == ["closed_1006 2, failover 1"]
    assert found["events"] == ["like 12,345"]
    assert found["ingest"] == ["commit_seconds 0.25"]
    assert "generation 1, published " in found["lists"][0]
    assert found["lake"][0].startswith("1 closed days (2026-")
    assert re.search(r" a day lately; likes: 2026-05-\d\d \d+$", found["lake"][0])
    assert found["landing"][0].endswith(
        "; likes of open days: 2026-05-28 1"
    )  # not of those in the lake, which go
    assert found["candidates"][0].endswith("done")
    assert found["viewers"] == ["0 opened the feed today (UTC)"]
    assert found["web app"] == ["does not answer at this installation's address"]


def test_how_far_labelers_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    landing, now_us = connect(tmp_path / "landing.sqlite"), int(time.time() * 1e6)
    insert = "INSERT INTO labelers (did, seq, received_us, stated_us, labels) VALUES (?, ?, ?, ?, ?)"
    landing.execute(insert, ("did:web:one.example", 0, 0, 0, 0))
    landing.execute(insert, ("did:web:two.example", 1234, now_us, now_us, 5678))
    landing.execute(insert, ("did:web:three.example", 9, now_us, now_us - 2 * HOUR_US, 1))
    landing.execute("INSERT INTO label_gaps VALUES (3, 4, 6, 0)")
    landing.close()
    first, second, third = said(tmp_path)["labels"]
    assert first == "did:web:one.example: nothing yet"
    assert second.startswith(
        "did:web:two.example, 5,678 that withhold posts, up to message 1,234, which came "
    )
    assert second.endswith(" ago")
    assert third.endswith("; its labels are 2 h 00 min old; 1 gaps")


def test_a_gap_over_days_names_them(tmp_path: Path) -> None:
    write(tmp_path)
    landing = connect(tmp_path / "landing.sqlite")
    landing.execute("UPDATE gaps SET to_us = from_us + ?", (30 * HOUR_US,))
    landing.close()
    (gap,) = said(tmp_path)["gap"]
    assert gap.endswith("to 2026-11-25 09:00:10Z (30 h 00 min): days 2026-11-24, 2026-11-25 partial")


def test_who_is_running_and_what_is_due(tmp_path: Path) -> None:
    write(tmp_path)
    assert said(tmp_path)["running"] == ["no part"]
    with exclusive(tmp_path, "schedule"):
        found = said(tmp_path)
        assert found["running"] == [f"schedule (process {os.getpid()})"]
        assert "; next due in " in found["candidates"][0]
    assert said(tmp_path)["running"] == ["no part"]


def test_levels_and_colours(tmp_path: Path) -> None:
    found = lines(gather(alone(write(tmp_path))))
    levels = {line.subject: line.level for line in found}
    assert levels["gap"] is Level.WARN
    assert levels["candidates"] is Level.OK
    assert levels["lists"] is Level.OK
    serving = connect(tmp_path / "serving.sqlite")
    serving.execute("UPDATE runs SET outcome = 'no room' WHERE job = 'candidates' AND step = 'snapshot'")
    serving.execute("UPDATE generations SET published_us = published_us - ?", (7 * HOUR_US,))
    serving.close()
    found = lines(gather(alone(tmp_path)))
    levels = {line.subject: line.level for line in found}
    assert levels["candidates"] is Level.BAD
    assert levels["lists"] is Level.BAD
    plain, coloured = as_text(found), as_text(found, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31m" in coloured
    assert [line.split("  ")[0] for line in plain.splitlines()] == [line.subject for line in found]


def test_jobs_that_did_not_run_for_three_times_their_interval(tmp_path: Path) -> None:
    settings = alone(write(tmp_path))
    late = {"compact": 180, "neighbours": 540, "candidates": 180}
    serving = connect(tmp_path / "serving.sqlite")
    for job, minutes in late.items():
        for too_late in (False, True):
            ago_us = (minutes + (1 if too_late else -1)) * 60_000_000
            serving.execute(
                "UPDATE runs SET started_us = ?, seconds = 0 WHERE job = ?",
                (time.time_ns() // 1000 - ago_us, job),
            )
            found = {line.subject: line for line in lines(gather(settings))}
            assert (found[job].level is Level.BAD) == too_late == ("long overdue" in found[job].text)
    # The generation is new: a run for few viewers may have published it.
    assert gather(settings)["generation"]["age_seconds"] < 60 * 60
    assert found["lists"].level is Level.BAD
    assert "everybody's 3 h 01 min ago" in found["lists"].text
    serving.close()


def test_a_disk_that_will_be_full(tmp_path: Path) -> None:
    figures = gather(alone(write(tmp_path)))
    assert figures["disk"]["days_until_full"] is None
    assert "room for all 90 days" in lines(figures)[0].text
    figures["disk"]["days_until_full"] = 12.3
    assert lines(figures)[0].level is Level.WARN
    assert "full in 12 days as the lake grows" in lines(figures)[0].text


def test_a_terminal_gets_colour_and_a_pipe_none(tmp_path: Path) -> None:
    env = commands.environment(write(tmp_path)) | {"TERM": "xterm"}
    env.pop("NO_COLOR", None)
    piped = commands.run("status", env=env)
    assert piped.returncode == 0
    assert "\x1b" not in piped.stdout
    master, slave = pty.openpty()
    shown = subprocess.Popen(commands.command("status"), env=env, stdout=slave)
    os.close(slave)
    output = read_all(master)
    assert shown.wait(30) == 0
    assert b"\x1b[" in output
    assert b"second.example" in output


def read_all(descriptor: int) -> bytes:
    found = b""
    try:
        while part := os.read(descriptor, 65_536):
            found += part
    except OSError:  # the other side is closed
        pass
    os.close(descriptor)
    return found


def test_json_is_whole(tmp_path: Path) -> None:
    env = commands.environment(write(tmp_path))
    figures = json.loads(commands.run("status", "--json", env=env).stdout)
    assert figures["stream"]["host"] == "second.example"
    assert figures["gaps"][0]["from_us"] == GAP_US
    assert figures["generation"]["viewers"] == 1
    assert {run["job"] for run in figures["runs"]} == {"compact", "neighbours", "candidates"}
    assert all(run["due_us"] > run["started_us"] for run in figures["runs"])


def test_watching_says_it_again(tmp_path: Path) -> None:
    log = tmp_path / "out"
    with log.open("wb") as output:
        watching = subprocess.Popen(
            commands.command("status", "--watch", "--json"),
            env=commands.environment(tmp_path / "data"),
            stdout=output,
        )
    try:
        wait_until(lambda: log.read_bytes().count(b"\n") >= 2)
    finally:
        watching.terminate()
        watching.wait(10)
    assert all(json.loads(line)["stream"] is None for line in log.read_text().splitlines())


METRICS = """\
# HELP foryou_request_seconds Time to answer.
# TYPE foryou_request_seconds histogram
foryou_request_seconds_bucket{method="skeleton",le="0.01"} 90.0
foryou_request_seconds_bucket{method="skeleton",le="0.1"} 99.0
foryou_request_seconds_bucket{method="skeleton",le="+Inf"} 100.0
foryou_request_seconds_count{method="skeleton"} 100.0
process_start_time_seconds 1.0e9
"""


@pytest.fixture
def answering() -> Iterator[HTTPServer]:
    """A web app's two addresses."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = METRICS if self.path == "/metrics" else '{"ok": false, "reason": "no lists"}'
            self.send_response(200 if self.path == "/metrics" else 503)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_web_apps_own_figures(answering: HTTPServer, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{answering.server_address[1]}"
    found = web_app_figures(address, address)
    assert found is not None
    assert (found["ok"], found["reason"], found["requests"]) == (False, "no lists", 100)
    assert found["p99_ms"] == 100.0
    assert 0 < found["requests_per_second"] < 1
    listen = f"127.0.0.1:{answering.server_address[1]}"
    flags = {"data_dir": str(tmp_path), "listen": listen, "pages_listen": listen}
    settings = load_settings(flags, {}, tmp_path)
    line = next(line for line in lines(gather(settings)) if line.subject == "web app")
    assert line.level is Level.BAD
    assert line.text.startswith("failing: no lists, 100 requests since it started")
    assert line.text.endswith("99 % within 100 ms")
