"""``foryou status``: what it says of a store, in words, colours and JSON."""

import json
import os
import pty
import re
import subprocess
import threading
import time
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import commands
import httpx
import pytest
from batch_tools import settings_for
from serving_worlds import FEED, SKELETON, config_of
from streams import free_port, wait_until
from worlds import World

from pipeline.batch import jobs
from pipeline.operate.status.gather import gather
from pipeline.operate.status.lines import Level, Line, _served, lines
from pipeline.operate.status.show import as_text
from pipeline.operate.status.web_app_status import web_app_figures
from pipeline.settings import Settings
from pipeline.store.locks import exclusive
from serving.process.web_server import WebServer
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
    listen, pages = (("127.0.0.1", free_port()) for _ in range(2))
    return replace(settings_for(data_dir), listen=listen, pages_listen=pages)


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
    assert found["connections"] == ["broke 2, turned to another host 1"]
    assert found["events"] == ["like 12,345"]
    assert found["ingest"][0].startswith("a commit takes 0.25 s (")
    assert "generation 1, published " in found["lists"][0]
    assert found["lake"][0].startswith("1 closed days (2026-")
    assert re.search(r" a day lately; likes: 2026-05-\d\d \d+$", found["lake"][0])
    assert found["landing"][0].endswith(
        "; likes of open days: 2026-05-28 1"
    )  # not of those in the lake, which go
    assert found["candidates"][0].endswith("done")
    assert found["viewers"] == ["0 opened the feed today (UTC)"]
    assert found["web app"][0].startswith("does not answer at http://127.0.0.1:")


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
    nothing = "no part: start it with 'foryou up', or as a service of the system"
    assert said(tmp_path)["running"] == [nothing]
    with exclusive(tmp_path, "schedule"):
        found = said(tmp_path)
        assert found["running"][0].startswith(f"schedule (process {os.getpid()}); not ingest and serve: ")
        assert "; next due in " in found["candidates"][0]
    assert said(tmp_path)["running"] == [nothing]


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
    assert "room for all 90 days" in lines(figures)[1].text
    figures["disk"]["days_until_full"] = 12.3
    assert lines(figures)[1].level is Level.WARN
    assert "full in 12 days as the lake grows" in lines(figures)[1].text


def test_a_terminal_gets_colour_and_a_pipe_none(tmp_path: Path) -> None:
    env = commands.environment(write(tmp_path)) | {"TERM": "xterm"}
    env.pop("NO_COLOR", None)
    piped = commands.run("status", env=env)
    assert "look at: " in piped.stdout
    assert "\x1b" not in piped.stdout
    master, slave = pty.openpty()
    shown = subprocess.Popen(commands.command("status"), env=env, stdout=slave)
    os.close(slave)
    output = read_all(master)
    assert shown.wait(120) == 1
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
            env=commands.environment(write(tmp_path)),
            stdout=output,
        )
    try:
        wait_until(lambda: log.read_bytes().count(b"\n") >= 2)
    finally:
        watching.terminate()
        watching.wait(120)
    assert all(json.loads(line)["well"] is False for line in log.read_text().splitlines())


@pytest.fixture(scope="module")
def recent() -> dict[str, Any]:
    """What the web app says of a busy minute and a slow page."""
    return {"seconds": 300.0, "pages": 600, "failed": 0, "refused": 0, "p99_ms": 25.0, "slower_than_ms": None}


def web_line(recent: dict[str, Any], **changed: Any) -> Line:
    web = {"ok": True, "reason": None, "pages": recent | changed}
    figures = {"web": web, "viewers_today": None, "address": "http://127.0.0.1:1"}
    (line,) = _served(figures)
    return line


def test_the_web_apps_line_is_of_feed_pages_of_the_last_minutes(recent: dict[str, Any]) -> None:
    line = web_line(recent)
    assert line.text == "ok, 600 feed pages in the last 5 min (2.0/s), 99 % within 25 ms"
    assert line.level is Level.OK
    line = web_line(recent, p99_ms=None, slower_than_ms=5000.0)
    assert line.text.endswith(", the slowest took more than 5,000 ms")
    assert line.level is Level.WARN
    line = web_line(recent, failed=2, refused=3)
    assert line.text.endswith(", 2 failed, 3 refused")
    assert line.level is Level.WARN
    assert web_line(recent, failed=31).level is Level.BAD
    assert web_line(recent, pages=0, p99_ms=None).text == "ok, 0 feed pages in the last 5 min"


def test_the_running_web_app_answers(tmp_path: Path) -> None:
    """The real one, over its two sockets: without lists, which it says, with a page that somebody fetched."""
    settings = alone(tmp_path)
    config = replace(config_of(tmp_path), listen=settings.listen, pages_listen=settings.pages_listen)
    server = WebServer(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        httpx.get(f"{settings.local_url}{SKELETON}", params={"feed": FEED}, trust_env=False)
        httpx.get(f"{settings.local_url}/robots.txt", trust_env=False)
        found = web_app_figures(settings.local_url, settings.pages_url)
    finally:
        server.stop()
        thread.join()
    assert found is not None
    assert not found["ok"]
    assert "the batch has not run" in found["reason"]
    assert found["pages"]["pages"] == 1  # nobody else's robots, and not this question
    assert web_app_figures(settings.local_url, settings.pages_url) is None


def test_another_program_at_the_address_is_not_the_web_app() -> None:
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        address = f"http://127.0.0.1:{other.server_address[1]}"
        found = web_app_figures(address, address)
        other.shutdown()
        thread.join()
    assert found == {"ok": False, "reason": f"another program answers at {address}", "pages": None}


def test_the_first_line_says_whether_all_is_well(tmp_path: Path, recent: dict[str, Any]) -> None:
    figures = gather(alone(write(tmp_path)))
    first, *_ = lines(figures)
    assert first.level is Level.BAD
    assert first.text == "look at: running, stream, web app; less urgent: gap"
    figures |= {"parts": dict.fromkeys(figures["parts"], 1), "gaps": []}
    figures["web"] = {"ok": True, "reason": None, "pages": recent}
    figures["stream"]["lag_seconds"] = 1.0
    assert lines(figures)[0] == Line("state", "well", Level.OK)
    figures["stream"]["lag_seconds"] = 300.0
    assert lines(figures)[0] == Line("state", "well; worth a look: stream", Level.WARN)


def test_a_store_that_catches_up_after_days_is_no_alarm(tmp_path: Path) -> None:
    figures = gather(alone(write(tmp_path)))
    figures["stream"] |= {"lag_seconds": 90_000.0, "events_per_second": 300.0}
    for name, pace, level in (("behind", 200.0, Level.BAD), ("catching up", 9_000.0, Level.WARN)):
        figures["gauges"] = {"messages_per_second": {"value": pace, "measured_us": figures["now_us"]}}
        (stream,) = [line for line in lines(figures) if line.subject == "stream"]
        assert stream.level is level
        assert name in stream.text


def test_what_ingest_measured_is_said_in_words_and_how_long_ago(tmp_path: Path) -> None:
    figures = gather(alone(write(tmp_path)))
    now_us = figures["now_us"]
    values = {"messages_per_second": 400.0, "received_bytes_per_second": 2e6, "commit_seconds": 0.021}
    values |= {"queue_chunks": 3.0, "holding": 1.0}
    figures["gauges"] = {name: {"value": value, "measured_us": now_us} for name, value in values.items()}
    found = {line.subject: line for line in lines(figures)}
    assert found["ingest"].text == ("400 messages/s, 2.0 MB/s, a commit takes 0.02 s, 3 MB wait to be stored")
    assert found["stream"].text.startswith("holding: ")
    for row in figures["gauges"].values():
        row["measured_us"] = now_us - 7_200_000_000  # ingest ended two hours ago: nothing is held now
    found = {line.subject: line for line in lines(figures)}
    assert found["ingest"].text.endswith(" (2 h 00 min ago)")
    assert "holding" not in found["stream"].text


def test_no_store_is_an_error_and_trouble_is_status_1(tmp_path: Path) -> None:
    missing = commands.run("status", env=commands.environment(tmp_path / "none"))
    assert missing.returncode == 1
    assert re.fullmatch(r"foryou: there is no store in .*/none: 'foryou up' makes one; .*\n", missing.stderr)
    trouble = commands.run("status", "--json", env=commands.environment(write(tmp_path)))
    assert trouble.returncode == 1
    assert trouble.stderr == ""
    said = json.loads(trouble.stdout)
    assert said["well"] is False
    assert said["state"].startswith("look at: running")


def test_it_fits_a_terminal() -> None:
    shown = [Line("state", "well", Level.OK), *(Line(f"job {number}", "x" * 300) for number in range(50))]
    text = as_text(shown, columns=40, rows=10)
    assert [len(line) < 40 for line in text.splitlines()] == [True] * 10
    assert text.startswith("state   well\n")
    assert text.splitlines()[1].endswith("xxx...")
    assert "x" * 300 in as_text(shown)
