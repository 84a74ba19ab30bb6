"""``foryou ingest`` as a process, against a server that is sometimes not nice."""

import gc
import json
import os
import re
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import commands
import httpx
import orjson
import pytest
from fault_tools import follow_odd_server
from streams import LineStream, free_port, wait_until

from pipeline.ingest import follow, service, stream_metrics
from pipeline.operate.status.gather import gather
from pipeline.settings import load_settings
from serving.identity.labelers import LabelerReader

AUTHOR = "did:plc:vfnmgxg2yscfliemmcxzyfyh"
START_US = 1_779_719_009_000_000


def like_line(number: int) -> str:
    """The number-th like of a made-up stream, a second apart."""
    record = {
        "$type": "app.bsky.feed.like",
        "createdAt": "2026-05-25T14:23:28.778Z",
        "subject": {"cid": "bafy", "uri": f"at://{AUTHOR}/app.bsky.feed.post/3mmoojp7etg2g"},
    }
    commit = {
        "rev": "3mmoojp7vgo2g",
        "operation": "create",
        "collection": "app.bsky.feed.like",
        "cid": "bafy",
    }
    body = commit | {"rkey": f"like{number}", "record": record}
    time_us = START_US + number * 1_000_000
    return json.dumps(
        {"did": f"did:plc:liker{number % 7}", "time_us": time_us, "kind": "commit", "commit": body}
    )


LIKES = [like_line(number) for number in range(60)]


def query(data_dir: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    file = data_dir / "landing.sqlite"
    if not file.exists():
        return []
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []  # the process has not made its tables yet
    finally:
        connection.close()


def count_likes(data_dir: Path) -> int:
    rows = query(data_dir, "SELECT count(*) FROM likes")
    return rows[0][0] if rows else 0


def counters(data_dir: Path) -> dict[tuple[str, str], int]:
    return {
        (kind, name): value for kind, name, value in query(data_dir, "SELECT kind, name, value FROM counters")
    }


def ingest(data_dir: Path, *urls: str, log: Path | None = None, **settings: str):  # type: ignore[no-untyped-def]
    settings = {"stream_start_hours": "1000000"} | settings
    env = commands.environment(data_dir, stream_url=",".join(urls), **settings)
    return commands.running("ingest", env=env, log=log)


def test_every_like_of_the_recorded_window_lands_and_replays_change_nothing(
    tmp_path: Path, real_bytes: Path
) -> None:
    lines = (real_bytes / "expected_v1.jsonl").read_bytes().splitlines()
    text = [line.decode() for line in lines]
    expected = set()
    for line in lines:
        event = orjson.loads(line)
        commit = event.get("commit", {})
        if commit.get("collection") == "app.bsky.feed.like" and commit["operation"] == "create":
            uri = commit["record"]["subject"]["uri"]
            if "/app.bsky.feed.post/" in uri:
                expected.add((event["did"], uri.split("/")[2], event["time_us"]))
    rows = (
        "SELECT l.did, a.did, seen_us FROM likes JOIN actors AS l ON l.actor_id = liker_id "
        "JOIN actors AS a ON a.actor_id = author_id"
    )
    newest_us = max(orjson.loads(line)["time_us"] for line in lines)
    for times in (1, 2, 3):
        data = ("SELECT * FROM likes", "SELECT * FROM posts", "SELECT * FROM unlikes", "SELECT * FROM actors")
        before = [query(tmp_path, sql) for sql in data]
        with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
            if times > 1:  # as if the cursor were lost: the whole window comes again
                connection.execute("DELETE FROM stream_cursors")
        with LineStream(text) as stream, ingest(tmp_path, stream.url) as process:
            wait_until(lambda: stored_up_to(tmp_path, newest_us))
            assert commands.stop(process) == 0
        assert set(query(tmp_path, rows)) == expected
        assert len(expected) == count_likes(tmp_path) > 100
        if times > 1:
            assert [query(tmp_path, sql) for sql in data] == before


@pytest.mark.parametrize(
    ("ending", "reason", "words"),
    [
        ("close:1000", "closed_1000", "it closed the connection (1000)"),
        ("close:1001", "closed_1001", "it closed the connection (1001)"),
        ("close:1009", "closed_1009", "it closed the connection (1009)"),
        ("abort", "closed_1006", "the connection broke"),
        ("half", "closed_1006", "the connection broke"),
        ("dead", "silence", "nothing came for 1 s"),
        ("refuse", "handshake_refused", "it refused the connection with HTTP 502"),
    ],
)
def test_any_end_of_a_connection_is_counted_and_followed_by_another(
    tmp_path: Path, ending: str, reason: str, words: str
) -> None:
    """Nothing is lost or doubled, and the log says in one line what happened."""
    outcome, cursors = follow_odd_server(tmp_path, LIKES, ending, len(LIKES), stream_silence_seconds="1")
    assert (outcome.held, outcome.missing, outcome.extra) == (len(LIKES), 0, 0)
    ended = counters(tmp_path)["connection", reason]
    assert ended == 2
    assert len(cursors) in {ended, ended + 1}
    assert len(outcome.lines) == ended
    assert all(f"{words}; connecting again in" in line for line in outcome.lines)
    if ending != "refuse":
        assert cursors[0] == 1
        # It resumes from where most of the last events of a connection were, a few seconds earlier.
        assert cursors[1] == START_US + 12 * 1_000_000 - 5_000_000


def stored_up_to(data_dir: Path, time_us: int) -> bool:
    """Whether the clock is sure that the stream has come so far: seconds after its last event."""
    return query(data_dir, "SELECT max(event_us) FROM stream_cursors") == [(time_us,)]


def test_a_quiet_host_is_pinged_and_not_left(tmp_path: Path) -> None:
    with LineStream(LIKES[:5], endings=["silent"]) as stream:
        with ingest(tmp_path, stream.url, stream_silence_seconds="1") as process:
            wait_until(lambda: stored_up_to(tmp_path, START_US + 4_000_000))
            time.sleep(2.5)
            assert commands.stop(process) == 0
        assert len(stream.cursors) == 1
    assert ("connection", "silence") not in counters(tmp_path)


def test_a_connection_that_never_comes_about_is_counted_once(tmp_path: Path) -> None:
    with LineStream([], endings=["refuse"] * 99) as stream, ingest(tmp_path, stream.url) as process:
        wait_until(lambda: len(stream.cursors) == 4)
        assert commands.stop(process) == 0
    # The last one may be refused while the process stops.
    (refused,) = counters(tmp_path).items()
    assert refused[0] == ("connection", "handshake_refused")
    assert refused[1] in {len(stream.cursors) - 1, len(stream.cursors)}


def test_malformed_messages_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    huge = json.loads(LIKES[1])
    huge["commit"]["record"]["padding"] = "x" * 1_000_000
    not_a_post = json.loads(LIKES[2])
    not_a_post["commit"]["record"]["subject"]["uri"] = f"at://{AUTHOR}/app.bsky.feed.generator/for-you"
    unlike_first = json.loads(like_line(3))
    unlike_first["commit"] |= {"operation": "delete", "rkey": "never-liked"}
    lines: list[str | bytes] = [
        LIKES[0],
        '{"did":',
        b"\x00\xff\xfe",
        "[]",
        json.dumps(huge),
        LIKES[0],
        json.dumps(not_a_post),
        json.dumps(unlike_first),
        LIKES[59],
    ]
    with LineStream(lines) as stream, ingest(tmp_path, stream.url) as process:
        wait_until(lambda: counters(tmp_path).get(("event", "like")) == 4)
        assert commands.stop(process) == 0
    assert count_likes(tmp_path) == 3
    counted = counters(tmp_path)
    assert counted["drop", "not_json"] == 2
    assert counted["drop", "not_an_event"] == 1
    assert counted["drop", "like_of_no_post"] == 1
    assert counted["event", "unlike"] == 1
    assert counted["event", "like_of_unknown_post"] == 4


def test_keys_that_no_64_bits_hold_stop_nothing(tmp_path: Path) -> None:
    """Anybody may write a record under such a key: it must not be what ingest dies of, again and again."""
    like, unlike = json.loads(LIKES[0]), json.loads(LIKES[1])
    like["commit"] |= {"rkey": "jzzzzzzzzzzzz", "rev": "jzzzzzzzzzzzz"}
    unlike["commit"] |= {"operation": "delete", "rkey": "czzzzzzzzzzzz"}
    post = json.loads(LIKES[2])
    post["commit"] |= {"collection": "app.bsky.feed.post", "rkey": "j222222222222", "record": {}}
    of_it = json.loads(LIKES[3])
    of_it["commit"]["record"]["subject"]["uri"] = f"at://{AUTHOR}/app.bsky.feed.post/j222222222222"
    lines = [json.dumps(event) for event in (like, unlike, post, of_it)]
    with LineStream([*lines, LIKES[59]]) as stream, ingest(tmp_path, stream.url) as process:
        wait_until(lambda: count_likes(tmp_path) == 2)
        assert commands.stop(process) == 0
    counted = counters(tmp_path)
    assert (counted["drop", "like_of_no_post"], counted["drop", "post_rkey_no_tid"]) == (1, 1)


def test_a_host_that_fails_is_followed_by_the_next(tmp_path: Path) -> None:
    with (
        LineStream([], endings=["refuse"] * 9) as broken,
        LineStream(LIKES) as good,
        ingest(tmp_path, broken.url, good.url) as process,
    ):
        wait_until(lambda: count_likes(tmp_path) == len(LIKES))
        assert commands.stop(process) == 0
    assert len(broken.cursors) == 3


def test_another_host_resumes_by_time_with_a_margin(tmp_path: Path) -> None:
    with LineStream(LIKES) as one, ingest(tmp_path, one.url) as process:
        wait_until(lambda: stored_up_to(tmp_path, START_US + 59 * 1_000_000))
        assert commands.stop(process) == 0
    with LineStream(LIKES) as other, ingest(tmp_path, other.url) as process:
        wait_until(lambda: len(other.cursors) == 1)
        assert commands.stop(process) == 0
    assert other.cursors == [START_US + 59 * 1_000_000 - 30_000_000]
    assert count_likes(tmp_path) == len(LIKES)


def test_without_a_network_there_is_no_lag_and_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The whole ingest in this process, on an empty store, until it was told to stop."""
    monkeypatch.setattr(follow, "UNREACHED_SECONDS", 0.5)
    monkeypatch.setattr(stream_metrics, "GAUGE_SECONDS", 0.5)
    port = free_port()
    settings = load_settings(
        {
            "data_dir": str(tmp_path / "data"),
            "stream_url": f"ws://127.0.0.1:{free_port()}/subscribe",
            "metrics_listen": f"127.0.0.1:{port}",
            "labelers": "",
        },
        {},
        tmp_path,
    )
    seen: dict[str, Any] = {}

    def look() -> None:
        try:
            wait_until(lambda: "check this machine's network; 'foryou doctor' says more" in caplog.text)
            wait_until(lambda: bool(gather(settings)["gauges"]))
            seen["metrics"] = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            seen["gauges"] = gather(settings)["gauges"]
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    looking = threading.Thread(target=look)
    looking.start()
    thresholds = gc.get_threshold()
    service.run(settings, LabelerReader(settings.plc_url))
    gc.set_threshold(*thresholds)
    looking.join()
    assert "foryou_connection_ends_total" in seen["metrics"]
    assert "foryou_stream_lag" not in seen["metrics"]
    assert "queue_chunks" in seen["gauges"]
    assert "lag_seconds" not in seen["gauges"]
    assert caplog.text.count("no stream could be reached") == 1


def test_a_second_ingest_on_the_same_store_is_refused(tmp_path: Path) -> None:
    with LineStream(LIKES) as stream, ingest(tmp_path, stream.url) as process:
        wait_until(lambda: count_likes(tmp_path) == len(LIKES))
        second = commands.run("ingest", env=commands.environment(tmp_path, stream_url=stream.url))
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1].startswith("foryou: another ingest (process ")
        assert str(process.pid) in second.stderr
        assert commands.stop(process) == 0


def test_a_store_that_breaks_stops_the_process_loudly(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with LineStream(LIKES[:5]) as stream, ingest(tmp_path, stream.url, log=log) as process:
        wait_until(lambda: stored_up_to(tmp_path, START_US + 4_000_000))
        with sqlite3.connect(tmp_path / "landing.sqlite") as connection:
            connection.execute("DROP TABLE posts")
        stream.append(LIKES[5:])
        assert process.wait(120) == 1
    assert "no such table" in log.read_text()
    assert query(tmp_path, "SELECT max(value) FROM stream_cursors") == [(START_US + 4_000_000,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_everything_stored(tmp_path: Path, number: signal.Signals) -> None:
    with LineStream(LIKES) as stream, ingest(tmp_path, stream.url) as process:
        wait_until(lambda: count_likes(tmp_path) == len(LIKES))
        process.send_signal(number)
        assert process.wait(120) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"stream_url": "http://127.0.0.1:1/subscribe"},
            "FORYOU_STREAM_URL = 'http://127.0.0.1:1/subscribe'",
        ),
        ({"stream_url": "ws://127.0.0.1:1/xrpc/com.example.other"}, "its path names no wire"),
        ({"stream_url": "ws://127.0.0.1:1/subscribe", "data_dri": "x"}, "unknown setting FORYOU_DATA_DRI"),
        ({"stream_url": "ws://127.0.0.1:1/subscribe", "data_dir": "/proc/nowhere"}, "can't write in"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    env = commands.environment(tmp_path) | {
        f"FORYOU_{name.upper()}": value for name, value in settings.items()
    }
    result = commands.run("ingest", env=env)
    assert result.returncode == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def gap_lines(count: int, start_us: int) -> list[str]:
    """A likes' stream of 20 a second."""
    lines = []
    for number in range(count):
        event = json.loads(like_line(number)) | {"time_us": start_us + number * 50_000}
        event["commit"]["rkey"] = f"gap{start_us}x{number}"
        lines.append(json.dumps(event))
    return lines


def test_a_gap_is_told_apart_from_a_quiet_hour(tmp_path: Path) -> None:
    """The host has nothing of two hours in which thousands of events must have come; the day is partial."""
    before, after = START_US, START_US + 2 * 3600 * 1_000_000
    log = tmp_path / "log"
    with LineStream(gap_lines(100, before)) as stream, ingest(tmp_path, stream.url) as process:
        wait_until(lambda: stored_up_to(tmp_path, before + 99 * 50_000))
        assert commands.stop(process) == 0
    with LineStream(gap_lines(100, after)) as stream, ingest(tmp_path, stream.url, log=log) as process:
        wait_until(lambda: count_likes(tmp_path) == 200)
        assert commands.stop(process) == 0
    ((from_us, to_us),) = query(tmp_path, "SELECT from_us, to_us FROM gaps")
    assert from_us == before + 99 * 50_000 and after <= to_us <= after + 1_000_000
    assert "a gap, these days are partial" in log.read_text()
    shown = commands.run("status", env=commands.environment(tmp_path))
    gap = r"2026-05-25 14:23:33Z to 16:23:\d\dZ \(2 h 00 min\): day 2026-05-25 partial"
    assert re.search(gap, shown.stdout), shown.stdout
    assert re.search(r"began +2026-05-25 14:23:\d\dZ: day 2026-05-25 partial", shown.stdout)
    # As slow as one event an hour, two hours without one are nothing.
    slow = tmp_path / "slow"
    lines = [json.loads(like_line(number)) for number in range(6)]
    for number, line in enumerate(lines):
        line["time_us"] = START_US + number * 3600 * 1_000_000
    texts = [json.dumps(line) for line in lines]
    for part in (texts[:3], texts[4:]):
        last = json.loads(part[-1])["time_us"]
        with LineStream(part) as stream, ingest(slow, stream.url) as process:
            wait_until(lambda last=last: query(slow, "SELECT max(event_us) FROM stream_cursors") == [(last,)])
            assert commands.stop(process) == 0
    assert query(slow, "SELECT * FROM gaps") == []


def test_the_next_host_goes_on_by_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        LineStream(
            LIKES[:30], endings=["close:1001", "refuse", "refuse", "refuse"], lines_per_connection=30
        ) as first,
        LineStream(LIKES) as second,
        ingest(tmp_path, first.url, second.url, log=log) as process,
    ):
        wait_until(lambda: count_likes(tmp_path) == len(LIKES))
        assert commands.stop(process) == 0
    assert second.cursors == [START_US + 14_000_000 - 30_000_000]  # half of what the only connection brought
    assert counters(tmp_path)["connection", "failover"] == 1
    assert "failed 3 times; trying" in log.read_text()
    assert query(tmp_path, "SELECT * FROM gaps") == []
