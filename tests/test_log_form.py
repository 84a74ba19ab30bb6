"""The form of log lines: for people, and for programs."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from streams import free_port, wait_until

from serving.log_form import log_as, say

log = logging.getLogger("foryou.try")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_line_has_its_date_and_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    log_as("text")
    log.warning("%d left", 3)
    logging.getLogger("httpx").info("noise")
    say(log, logging.ERROR, "it broke")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ WARNING foryou.try: 3 left", first)
    assert second == "foryou: it broke"


def test_json_is_one_object_a_line_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    log_as("json")
    log.info("two\nlines of \u00e9")
    try:
        raise ValueError("defect")
    except ValueError:
        log.exception("it broke")
    say(log, logging.ERROR, "the reason")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["level"], first["logger"], first["message"]) == (
        "info",
        "foryou.try",
        "two\nlines of \u00e9",
    )
    assert "ValueError: defect" in second["exception"]
    assert (third["level"], third["message"]) == ("error", "the reason")


def test_every_part_of_foryou_up_logs_json(tmp_path: Path) -> None:
    """Parent, parts, the web app's worker, and the line of a part that can't go on."""
    env = commands.environment(
        tmp_path / "data",
        log="json",
        stream_url=f"ws://127.0.0.1:{free_port()}/subscribe",
        listen=f"127.0.0.1:{free_port()}",
        access_log="all",
    )
    out = tmp_path / "log"
    with commands.running("up", env=env, log=out) as process:
        wait_until(lambda: "the web app listens on" in out.read_text())
        wait_until(lambda: "connecting again" in out.read_text())
        wait_until(lambda: "robots.txt" in out.read_text())  # the parent's own look at the web app
        refused = json.loads(commands.run("serve", env=env).stderr)  # the port is in use
        commands.stop(process)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {"foryou.ingest", "foryou.serve", "foryou.access", "foryou.up"} <= {
        line["logger"] for line in lines
    }
    assert refused["level"] == "error"
    assert "in use" in refused["message"]
