"""Reposts, which are stored when the operator wants them."""

import asyncio
import json
from pathlib import Path

import commands
import pytest
from streams import LineStream, wait_until
from test_ingest import LIKES, START_US, counters, ingest, query
from test_landing import START, landing

from pipeline.identifiers import tid_at, tid_from_int
from pipeline.ingest import firehose, jetstream, jetstream_v2
from pipeline.ingest.wires import subscription
from pipeline.settings import load_settings
from pipeline.store.events import EventBatch, Repost, Unlike
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US

__all__ = ["landing"]
KEY = tid_from_int(tid_at(START_US))


def repost_line(operation: str, key: str, seconds: int) -> str:
    event = json.loads(LIKES[0])
    event["time_us"] = START_US + seconds * 1_000_000
    event["commit"] |= {"collection": "app.bsky.feed.repost", "operation": operation, "rkey": key}
    event["commit"]["rev"] = tid_from_int(tid_at(event["time_us"]))
    return json.dumps(event)


LINES = [
    repost_line("create", KEY, 1),
    repost_line("create", "no-tid", 2),
    repost_line("delete", "no-tid", 3),
    repost_line("delete", "never-seen", 4),
    LIKES[30],
]


@pytest.mark.parametrize("wanted", ["on", "off"])
def test_they_are_stored_when_wanted(tmp_path: Path, wanted: str) -> None:
    live = "SELECT rkey, post_rkey FROM reposts WHERE rev > deleted_rev"
    for times in (1, 2):  # the second time from the beginning, which changes nothing
        with LineStream(LINES) as stream, ingest(tmp_path, stream.url, reposts=wanted) as process:
            wait_until(lambda times=times: counters(tmp_path).get(("event", "like")) == times)
            assert commands.stop(process) == 0
        assert len(query(tmp_path, live)) == (wanted == "on")
    counted = counters(tmp_path)
    name = ("event", "repost") if wanted == "on" else ("drop", "other_collection")
    assert counted[name] >= (2 if wanted == "on" else 4)


def test_hosts_are_asked_for_them() -> None:
    v1, v2 = "ws://jet.example/subscribe", f"ws://127.0.0.1:1/xrpc/{jetstream_v2.PATH}"
    for url in (v1, v2):
        asked = asyncio.run(subscription(url, None, 5, reposts=True)).address
        assert "app.bsky.feed.repost" in asked
        assert "app.bsky.feed.repost" not in asyncio.run(subscription(url, None, 5)).address


def test_the_relays_wire_tells_the_same(real_bytes: Path) -> None:
    from test_firehose import frames

    there, here = EventBatch(with_reposts=True), EventBatch(with_reposts=True)
    jetstream.decode((real_bytes / "expected_v1.jsonl").read_bytes().splitlines(), there)
    for frame in frames.__wrapped__(real_bytes):
        firehose.decode(frame, here)
    assert sorted(repost[:4] for repost in here.reposts) == sorted(repost[:4] for repost in there.reposts)
    assert len(here.reposts) == 15


def test_they_leave_after_two_weeks(landing: Landing, tmp_path: Path) -> None:
    batch = EventBatch(with_reposts=True)
    for number in range(50):
        seen_us = START + number
        batch.reposts.append(Repost("did:plc:a", tid_at(seen_us), "did:plc:b", 1, seen_us, tid_at(seen_us)))
    batch.unreposts.append(Unlike("did:plc:a", -7, START, tid_at(START)))
    batch.reach(START, START)
    landing.append(batch, "one.example", "jetstream-v1")
    retention = Retention(landing, tmp_path, 90, slice_rows=20)
    assert sum(retention.step() for _ in range(9)) == 0
    late = EventBatch(with_reposts=True)
    late.reposts.append(Repost("did:plc:a", 5, "did:plc:b", 1, START + 15 * DAY_US, 1))
    late.reach(1, START + 15 * DAY_US)
    landing.append(late, "one.example", "jetstream-v1")
    retention = Retention(landing, tmp_path, 90, slice_rows=20)
    assert sum(retention.step() for _ in range(9)) == 51
    assert query(tmp_path, "SELECT rkey FROM reposts") == [(5,)]


def test_the_setting() -> None:
    assert load_settings({}, {}, Path("/nowhere")).reposts is False
    on = load_settings({"reposts": "on"}, {}, Path("/nowhere"))
    assert on.reposts is True
    assert load_settings({}, on.environment(), Path("/nowhere")).reposts is True
