"""A file of Jetstream lines, however it is packed: the same store as if the stream had brought them."""

import gzip
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import commands
import pytest
import zstandard
from histories import did

from pipeline.backfill import file_of_lines
from pipeline.errors import BackfillError, StoreError
from pipeline.identifiers import rkey_to_int, tid_at, tid_from_int
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US, day_of
from sql.sqlite import connect, migrate

NOW_US = time.time_ns() // 1000
NOON_US = day_of(NOW_US) * DAY_US - DAY_US // 2  # of yesterday
AUTHOR = did("n")


def line(liker: str, time_us: int, operation: str = "create", rkey: str | None = None) -> str:
    """Return a line about a like made when it was seen."""
    rkey = rkey or tid_from_int(tid_at(time_us))
    commit: dict[str, Any] = {
        "rev": tid_from_int(tid_at(time_us, 1)),
        "operation": operation,
        "collection": "app.bsky.feed.like",
        "rkey": rkey,
    }
    if operation != "delete":
        post = f"at://{AUTHOR}/app.bsky.feed.post/{tid_from_int(tid_at(NOON_US))}"
        commit |= {
            "cid": "b",
            "record": {"$type": "app.bsky.feed.like", "subject": {"uri": post, "cid": "b"}},
        }
    return json.dumps({"did": liker, "time_us": time_us, "kind": "commit", "commit": commit})


def store_of(data_dir: Path, table: str = "likes") -> set[tuple[str, int, int]]:
    """Return (liker, rkey, seen_us) of a table of likes."""
    store = connect(data_dir / "landing.sqlite", read_only=True)
    rows = store.execute(
        f"SELECT did, rkey, seen_us FROM {table} JOIN actors ON actor_id = liker_id"
    ).fetchall()
    store.close()
    return set(rows)


def number(data_dir: Path, query: str) -> int:
    store = connect(data_dir / "landing.sqlite", read_only=True)
    found = store.execute(query).fetchone()[0]
    store.close()
    return int(found)


def followed_store(data_dir: Path, watermark_us: int) -> None:
    """Make a store that has followed a stream up to a time."""
    store = connect(data_dir / "landing.sqlite")
    migrate(store, "landing")
    store.execute(
        "INSERT INTO stream_cursors (host, wire, value, event_us, committed_us) VALUES ('h', 'w', 7, 7, 7)"
    )
    store.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (watermark_us,))
    store.close()


LINES = [line(did("b"), NOON_US + n * 1000) for n in range(40)]
LINES += [line(did("b"), NOON_US + 50_000, "delete", tid_from_int(tid_at(NOON_US))), "", "rubbish", "{}"]
EXPECTED = {(did("b"), tid_at(NOON_US + n * 1000), NOON_US + n * 1000) for n in range(1, 40)}
TEXT = "\n".join(LINES).encode()


def packed(form: str) -> bytes:
    half = len(TEXT) // 2
    return {
        "plain": TEXT,
        "gzip": gzip.compress(TEXT),
        "gzip in two parts": gzip.compress(TEXT[:half]) + gzip.compress(TEXT[half:]),
        "zstd": zstandard.compress(TEXT),
        "zstd in two frames": zstandard.compress(TEXT[:half]) + zstandard.compress(TEXT[half:]),
    }[form]


@pytest.mark.parametrize("form", ["plain", "gzip", "gzip in two parts", "zstd", "zstd in two frames"])
def test_a_file_however_it_is_packed(tmp_path: Path, form: str) -> None:
    (tmp_path / "lines").write_bytes(packed(form))
    for _ in range(2):  # reading it again changes nothing
        file_of_lines.run(tmp_path, str(tmp_path / "lines"))
        assert store_of(tmp_path) == EXPECTED
    assert number(tmp_path, "SELECT count(*) FROM stream_cursors") == 0
    assert number(tmp_path, "SELECT seen_us FROM watermark") == NOON_US + 50_000


def test_standard_input(tmp_path: Path) -> None:
    result = subprocess.run(
        commands.command("backfill", "--file", "-"),
        input=packed("gzip"),
        env=commands.environment(tmp_path),
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert b"event like 40" in result.stderr
    assert b"drop not_json 1" in result.stderr
    assert store_of(tmp_path) == EXPECTED


def test_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_of_lines, "BATCH_LINES", 7)
    (tmp_path / "lines").write_bytes(TEXT)
    file_of_lines.run(tmp_path, str(tmp_path / "lines"))
    assert store_of(tmp_path) == EXPECTED


def test_likes_of_closed_days_count_too(tmp_path: Path) -> None:
    """A key that names no day is a record like any other."""
    followed_store(tmp_path, NOW_US)
    long_ago = NOON_US - 5 * DAY_US
    (tmp_path / "lines").write_text(
        "\n".join([*LINES, line(did("c"), long_ago), line(did("c"), long_ago, rkey="self")])
    )
    file_of_lines.run(tmp_path, str(tmp_path / "lines"))
    told = {(did("c"), tid_at(long_ago), long_ago), (did("c"), rkey_to_int("self"), long_ago)}
    assert store_of(tmp_path) == EXPECTED | told


def test_a_file_closes_no_day_that_ingest_has_to_catch_up_with(tmp_path: Path) -> None:
    followed_store(tmp_path, NOON_US - 3 * DAY_US)
    (tmp_path / "lines").write_bytes(TEXT)
    file_of_lines.run(tmp_path, str(tmp_path / "lines"))
    assert store_of(tmp_path) == EXPECTED
    assert number(tmp_path, "SELECT seen_us FROM watermark") == NOON_US - 3 * DAY_US
    assert number(tmp_path, "SELECT value FROM stream_cursors") == 7


def test_what_claims_to_be_of_the_future_is_left_out(tmp_path: Path) -> None:
    ahead = [line(did("d"), NOW_US + 30 * DAY_US), line(did("d"), NOW_US + 30 * DAY_US, "delete")]
    (tmp_path / "lines").write_text("\n".join([*LINES, *ahead]))
    file_of_lines.run(tmp_path, str(tmp_path / "lines"))
    assert store_of(tmp_path) == EXPECTED
    assert number(tmp_path, "SELECT seen_us FROM watermark") < NOW_US
    assert number(tmp_path, "SELECT value FROM counters WHERE name = 'time_in_the_future'") == 2


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_file_that_is_cut_short_is_told_and_what_came_before_is_stored(tmp_path: Path, form: str) -> None:
    text = "\n".join(line(did("b"), NOON_US + n * 1000) for n in range(20_000)).encode()
    data = gzip.compress(text) if form == "gzip" else zstandard.ZstdCompressor().compress(text)
    (tmp_path / "lines").write_bytes(data[: len(data) // 2])
    with pytest.raises(BackfillError, match="can't be read to its end"):
        file_of_lines.run(tmp_path, str(tmp_path / "lines"))
    assert 100 < len(store_of(tmp_path)) < 20_000


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_can_not_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackfillError, match="can't open"):
        file_of_lines.run(tmp_path, str(tmp_path / name))


def test_while_ingest_is_at_work_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(TEXT)
    with exclusive(tmp_path, "ingest"), pytest.raises(StoreError, match="another ingest"):
        file_of_lines.run(tmp_path, str(tmp_path / "lines"))
