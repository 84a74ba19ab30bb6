"""Hosts and machines that lie about the time, over real websockets: no honest like is lost, no day closed early."""

import asyncio
import hashlib
import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import commands
import libipld
import pytest
from streams import WAIT_SECONDS, wait_until
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from worlds import World

from pipeline.identifiers import tid_at, tid_from_int, tid_to_int
from pipeline.ingest import firehose, jetstream, jetstream_v2
from pipeline.store.model import DAY_US
from sql import places

SECOND_US, HOUR_US = 1_000_000, 3_600_000_000
OFFSETS_US = [121 * SECOND_US, 2 * HOUR_US, 3 * DAY_US, 100 * DAY_US, 50 * 365 * DAY_US]
POST_KEY = "3mmoojp7etg2g"
AUTHOR = "did:plc:vfnmgxg2yscfliemmcxzyfyh"
WIRES = [jetstream.WIRE, jetstream_v2.WIRE, firehose.WIRE]
REACHED = "SELECT max(event_us) FROM stream_cursors"
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def faked_by(hands: Path) -> dict[str, str]:
    """Return the environment of a process whose clock, but not its steady clock, a file sets."""
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(hands),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def now_us() -> int:
    return time.time_ns() // 1000


def text(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Event:
    """A like of a post, or an account's status; what it claims about the time may be wrong."""

    number: int
    true_us: int
    claimed_us: int
    active: bool | None = None  # of account 0

    @property
    def did(self) -> str:
        return f"did:plc:{0 if self.active is not None else self.number % 500:024d}"

    @property
    def key(self) -> str:
        return tid_from_int(tid_at(self.true_us, self.number % 1024))

    def message(self, wire: str, seq: int) -> str | bytes:
        """Return it as a host sends it."""
        like = {"subject": {"uri": f"at://{AUTHOR}/app.bsky.feed.post/{POST_KEY}", "cid": "bafy"}}
        commit = {"operation": "create", "collection": "app.bsky.feed.like", "rkey": self.key, "rev": self.key,
                  "record": {"$type": "app.bsky.feed.like", **like}}  # fmt: skip
        account = {
            "did": self.did,
            "active": self.active,
            "status": "deactivated",
            "time": text(self.claimed_us),
        }
        is_like = self.active is None
        if wire == jetstream.WIRE:
            body = (
                {"kind": "commit", "commit": commit} if is_like else {"kind": "account", "account": account}
            )
            return json.dumps({"did": self.did, "time_us": self.claimed_us, **body})
        if wire == jetstream_v2.WIRE:
            kind = "commit" if is_like else "account"
            head = {"$type": f"{jetstream_v2.PATH}#{kind}", "seq": seq, "did": self.did}
            times = {"time": text(self.claimed_us), "witnessedAt": text(self.claimed_us)}
            body = commit if is_like else {"account": account}
            return json.dumps({"$type": "message", "payload": {**head, **times, **body}})
        if not is_like:
            return _frame("#account", {**account, "seq": seq})
        block = libipld.encode_dag_cbor(commit["record"])
        cid = b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()
        length = len(cid) + len(block)
        header = libipld.encode_dag_cbor({"roots": [], "version": 1})
        blocks = bytes([len(header)]) + header + _varint(length) + cid + block
        operation = {"action": "create", "path": f"app.bsky.feed.like/{self.key}", "cid": cid}
        body = {"repo": self.did, "rev": self.key, "ops": [operation], "blocks": blocks}
        return _frame("#commit", {**body, "seq": seq, "time": text(self.claimed_us)})


def _frame(kind: str, body: dict[str, Any]) -> bytes:
    return libipld.encode_dag_cbor({"op": 1, "t": kind}) + libipld.encode_dag_cbor(body)


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


@dataclass
class Stream:
    """A host that speaks one wire: what it has is sent from the cursor on, and what is added as it comes."""

    wire: str
    events: list[Event] = field(default_factory=list)
    connections: int = 0

    async def send(self, connection: ServerConnection) -> None:
        self.connections += 1
        query = parse_qs(urlsplit(connection.request.path).query) if connection.request else {}
        cursor, place = int(query.get("cursor", ["0"])[0]), 0
        try:
            while connection.state is State.OPEN:
                while place < len(self.events):
                    event, seq = self.events[place], place + 1
                    place += 1
                    by_time = self.wire == jetstream.WIRE or cursor >= jetstream_v2.TIME_CURSOR_MIN
                    if (event.true_us if by_time else seq + (self.wire == jetstream_v2.WIRE)) > cursor or (
                        by_time and event.true_us == cursor
                    ):
                        await connection.send(event.message(self.wire, seq))
                await asyncio.sleep(0.01)
        except ConnectionClosed:
            return

    @property
    def path(self) -> str:
        paths = {jetstream.WIRE: "subscribe", jetstream_v2.WIRE: f"xrpc/{jetstream_v2.PATH}"}
        return paths.get(self.wire, f"xrpc/{firehose.PATH}")


@contextmanager
def serving(stream: Stream) -> Iterator[str]:
    loop, started, ports = asyncio.new_event_loop(), threading.Event(), []
    done = asyncio.Event()

    async def main() -> None:
        async with serve(stream.send, "127.0.0.1", 0, compression=None) as server:
            ports.append(next(iter(server.sockets)).getsockname()[1])
            started.set()
            await done.wait()
            for connection in list(server.connections):
                connection.transport.abort()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(WAIT_SECONDS)
    try:
        yield f"ws://127.0.0.1:{ports[0]}/{stream.path}"
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


@contextmanager
def ingesting(data_dir: Path, url: str, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    env = commands.environment(data_dir, stream_url=url, stream_start_hours="2") | extra
    with commands.running("ingest", env=env, log=data_dir.parent / "log") as process:
        yield process


def value(data_dir: Path, query: str) -> Any:
    if not places.landing(data_dir).exists():
        return None
    connection = sqlite3.connect(f"file:{places.landing(data_dir)}?mode=ro", uri=True)
    try:
        row = connection.execute(query).fetchone()
        return None if row is None else row[0]
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()


def likes(data_dir: Path) -> int:
    """Return how many likes of the stream are stored."""
    return int(value(data_dir, f"SELECT count(*) FROM likes WHERE post_rkey = {tid_to_int(POST_KEY)}") or 0)


def dropped(data_dir: Path) -> int:
    return int(value(data_dir, "SELECT sum(value) FROM counters WHERE kind = 'drop'") or 0)


def old_store(data_dir: Path) -> int:
    """Make a store with six days of likes, five of them in the lake, and old posts; return its likes in the lake."""
    world = World(now_us())
    for day in range(6):
        for number in range(20):
            name = f"p{day}x{number}"
            world.post(name, by="ann", hours_ago=24 * day + 1).like(
                f"bob{number}", name, hours_ago=24 * day + 0.5
            )
    world.post("old", by="ann", hours_ago=13 * 24)
    world.write(data_dir)
    assert commands.run("batch", "--job", "compact", env=commands.environment(data_dir)).returncode == 0
    return len(places.closed_days(data_dir))


def lies(first_us: int, apart_us: int) -> list[Event]:
    """Return a stream in which one event, a burst of fifty, or one in five is wrong by each offset in turn."""
    events = [Event(0, first_us, first_us + 3 * DAY_US)]  # the first frame of the connection
    for sign in (1, -1):
        for offset_us in OFFSETS_US:
            for number in range(400):
                lying = number == 20 or 100 <= number < 150 or (number > 250 and number % 5 == 0)
                true_us = first_us + len(events) * apart_us
                claimed_us = max(true_us + sign * offset_us, jetstream.EARLIEST_US + 1) if lying else true_us
                events.append(Event(len(events), true_us, claimed_us))
    return events


@pytest.mark.parametrize("wire", WIRES)
def test_liars_close_no_day_and_cost_nobody_a_like(wire: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    days = old_store(data_dir)
    posts = value(data_dir, "SELECT count(*) FROM posts")
    stream = Stream(wire, lies(now_us() - 1200 * SECOND_US, 1200 * SECOND_US // 4_010))
    with serving(stream) as url:
        for events in (lies(0, 0), 300):  # at once; then, after a restart, likes of now
            if isinstance(events, int):
                began_us = now_us()
                for number in range(events):
                    stream.events.append(
                        Event(10_000 + number, began_us + number * 1_000, began_us + number * 1_000)
                    )
            expected = len(stream.events)
            with ingesting(data_dir, url) as process:
                wait_until(lambda expected=expected: likes(data_dir) >= expected)
                newest_us = stream.events[-1].true_us
                wait_until(
                    lambda newest_us=newest_us: (
                        value(data_dir, "SELECT seen_us FROM watermark") >= newest_us - 5 * SECOND_US
                    ),
                    60,
                )
                assert commands.stop(process) == 0
            assert (likes(data_dir), dropped(data_dir)) == (expected, 0)
    assert value(data_dir, "SELECT seen_us FROM watermark") <= now_us() + 120 * SECOND_US
    assert value(data_dir, "SELECT low_us FROM watermark") <= now_us()
    assert value(data_dir, "SELECT count(*) FROM gaps") == 0
    wrong = "SELECT count(*) FROM likes WHERE seen_us > ? OR seen_us < ?".replace("?", "{}")
    assert value(data_dir, wrong.format(now_us() + 121 * SECOND_US, now_us() - 7 * DAY_US)) == 0
    assert commands.run("batch", "--job", "compact", env=commands.environment(data_dir)).returncode == 0
    assert len(places.closed_days(data_dir)) == days
    assert value(data_dir, "SELECT count(*) FROM posts") == posts


@pytest.mark.parametrize("wire", WIRES)
def test_the_last_word_about_an_account_counts_whatever_the_clocks_say(wire: str, tmp_path: Path) -> None:
    """The new host's clock is seventeen seconds behind the old one's."""
    data_dir = tmp_path / "data"
    first_us = now_us() - 60 * SECOND_US
    events = [Event(number, first_us + number * 10_000, first_us + number * 10_000) for number in range(200)]
    words = [Event(200, first_us + 3_000_000, first_us + 3_000_000, active=False)]
    words.append(Event(201, first_us + 5_000_000, first_us + 5_000_000 - 17 * SECOND_US, active=True))
    with serving(Stream(wire, events + words)) as url, ingesting(data_dir, url) as process:
        counted = "SELECT value FROM counters WHERE kind = 'event' AND name = 'account'"
        wait_until(lambda: value(data_dir, counted) == 2)
        assert commands.stop(process) == 0
    assert value(data_dir, f"SELECT status FROM actors WHERE did = '{words[0].did}'") == 0


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize(("wire", "hours"), [*((wire, -30) for wire in WIRES), (jetstream.WIRE, -3)])
def test_a_machine_that_is_behind_stores_nothing_until_it_is_set_right(
    wire: str, hours: int, tmp_path: Path
) -> None:
    data_dir, hands = tmp_path / "data", tmp_path / "hands"
    hands.write_text(f"{hours}h")
    first_us = now_us() - 60 * SECOND_US
    stream = Stream(wire, [Event(n, first_us + n * 10_000, first_us + n * 10_000) for n in range(600)])
    with serving(stream) as url, ingesting(data_dir, url, **faked_by(hands)) as process:
        wait_until(
            lambda: "ahead of this machine's clock: nothing is stored" in (tmp_path / "log").read_text(), 60
        )
        assert likes(data_dir) == 0
        hands.write_text("+0")
        wait_until(lambda: likes(data_dir) == 600)
        wait_until(lambda: "agree again" in (tmp_path / "log").read_text())
        assert commands.stop(process) == 0
    assert dropped(data_dir) == 0
    assert value(data_dir, "SELECT seen_us FROM watermark") <= now_us()


@pytest.mark.parametrize("wire", [jetstream_v2.WIRE, firehose.WIRE])
def test_the_next_event_of_a_host_is_no_gap_however_late_it_comes(wire: str, tmp_path: Path) -> None:
    """A PDS is busy for a second, then silent for minutes while ingest restarts."""
    data_dir = tmp_path / "data"
    first_us = now_us() - 600 * SECOND_US
    stream = Stream(wire, [Event(n, first_us + n * 5_000, first_us + n * 5_000) for n in range(200)])
    with serving(stream) as url:
        for late_us in (0, 172 * SECOND_US):
            if late_us:
                at_us = stream.events[-1].true_us + late_us
                stream.events.append(Event(len(stream.events), at_us, at_us))
            last_us = stream.events[-1].true_us
            with ingesting(data_dir, url) as process:
                wait_until(lambda last_us=last_us: value(data_dir, REACHED) == last_us)
                assert commands.stop(process) == 0
    assert likes(data_dir) == 201
    assert value(data_dir, "SELECT count(*) FROM gaps") == 0
