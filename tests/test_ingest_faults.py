"""Whole processes and what may befall them: killed, the disk full, a server that stops or misbehaves.

After each the stores hold exactly what the network's record says, and the log says in one line what happened.
``tests/bench/fault_runs.py`` does the same a few hundred times over.
"""

from pathlib import Path

from fault_tools import (
    Outcome,
    fill_under_compaction,
    fill_under_ingest,
    follow_odd_server,
    kill_both,
    small_disk,
    stop_server,
)
from test_ingest import LIKES, query


def assert_exact(outcome: Outcome, least: int) -> None:
    assert (outcome.missing, outcome.extra) == (0, 0)
    assert outcome.held > least


def test_kill_9_of_ingest_and_compaction(tmp_path: Path) -> None:
    outcome = kill_both(tmp_path, kills=3, seed=3, users=150, hours_a_second=2)
    assert_exact(outcome, 1_000)
    assert outcome.states.total() == 6


def test_a_disk_that_is_full_under_ingest(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 900):
        outcome = fill_under_ingest(tmp_path / "disk")
    assert_exact(outcome, 5_000)
    for line in outcome.lines:
        # Started again on the full disk, it can't even open its stores.
        assert line.startswith(("foryou: can't write ", "foryou: can't open "))
        assert "full; nothing is lost" in line or line.endswith("full")
    assert "full; nothing is lost" in outcome.lines[0]


def test_a_disk_that_is_full_under_compaction(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65_536):
        outcome = fill_under_compaction(tmp_path / "disk")
    assert_exact(outcome, 5_000)
    assert all(line.startswith("foryou: ") and "full" in line for line in outcome.lines), outcome.lines


def test_a_server_that_stops(tmp_path: Path) -> None:
    outcome = stop_server(tmp_path, seconds=2, silence_seconds=1)
    assert_exact(outcome, 500)
    assert "nothing came for 1 s; connecting again" in outcome.lines[0]


BIG = b'{"padding":"' + b"x" * 20_000_000 + b'"}'


def test_a_message_of_20_mb(tmp_path: Path) -> None:
    lines = [*LIKES[:30], BIG, *LIKES[30:], BIG, BIG]
    outcome, _ = follow_odd_server(tmp_path, lines, "open", len(LIKES))
    assert_exact(outcome, 50)
    assert len(outcome.lines) == 1
    assert "a message of more than 16 MB is left out" in outcome.lines[0]


def test_rubbish_without_end(tmp_path: Path) -> None:
    """It is counted, costs no memory, and ends with the connection: one line of the log, not one a message."""
    outcome, _ = follow_odd_server(tmp_path, LIKES, "rubbish", len(LIKES), stream_silence_seconds="1")
    assert_exact(outcome, 50)
    assert outcome.states["rubbish sent"] > 10_000
    assert outcome.peak_mb < 400
    assert len(outcome.lines) == 2
    assert all("nothing but rubbish for 1 s, " in line for line in outcome.lines)
    assert query(tmp_path, "SELECT sum(value) FROM counters WHERE kind = 'drop'")[0][0] > 10_000
