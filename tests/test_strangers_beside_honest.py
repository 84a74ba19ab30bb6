"""A thousand hostile DIDs beside honest viewers, on the real server and timetable: bench_strangers.py in short."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench" / "bench_strangers.py"


def test_a_thousand_hostile_dids_take_nothing_from_honest_viewers() -> None:
    options = ["--seconds", "12", "--rate", "50", "--honest", "20", "--newcomers", "1"]
    command = [sys.executable, str(BENCH), *options]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True).stdout
    figures = json.loads(printed.splitlines()[-1])
    assert figures["hostile_requests"] > 200
    assert figures["pages"] > 50
    assert figures["pages_not_200"] == figures["less_refused"] == 0
    assert figures["less_kept"] == figures["less_answered_200"] > 10
    assert figures["newcomer_less_kept"] == figures["newcomer_less_answered_200"] > 0
    assert len(figures["first_list_seconds"]) == 1
    answers = figures["hostile_answers"]
    assert answers.get("rubbish 200", 0) == answers.get("forged 200", 0) == 0
    assert (
        answers.get("floods 200", 0) <= 12
    )  # two minutes' worth of all strangers together, 6,000 events each
    assert sum(figures["repository_requests"].values()) > 50
    assert figures["longest_did"] == len("did:plc:") + 24
    assert figures["memory_mb"][2] < 300
    assert figures["disk_mb"]["all"] < 80
