"""Commits that are too big for the stream: they are counted, and whoever reads the feed is fetched again."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from test_backfill_viewers import Repositories, know, outcome, record_of, visit
from test_deep_nesting import GOOD, commit
from test_firehose import DID, decoded

from pipeline.backfill import fetch_waiting
from pipeline.ingest import jetstream, jetstream_v2
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch
from pipeline.store.fetched_likes import HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US
from serving.identity.repository_reader import RepositoryReader

TOO_BIG = ("drop", "commit_too_big")
LIKE = {
    "rev": "3mmoojp7vgo2g",
    "operation": "create",
    "collection": "app.bsky.feed.like",
    "rkey": "3mmoojp7etg2g",
    "record": {"subject": {"uri": f"at://{DID}/app.bsky.feed.post/3mmoojp7etg2g"}},
}


def v1(body: dict[str, Any]) -> EventBatch:
    batch = EventBatch()
    event = {"did": DID, "time_us": 1_783_175_888_085_000, "kind": "commit", "commit": body}
    jetstream.decode([json.dumps(event)], batch)
    return batch


def v2(body: dict[str, Any]) -> EventBatch:
    batch = EventBatch()
    payload = {
        "$type": f"{jetstream_v2.PATH}#commit",
        "did": DID,
        "seq": 7,
        "time": "2026-07-04T14:38:08.085Z",
    }
    jetstream_v2.decode([json.dumps({"$type": "message", "payload": payload | body})], batch)
    return batch


def relay(body: dict[str, Any]) -> EventBatch:
    return decoded(commit(*([GOOD] if "operation" in body else []), tooBig=body["tooBig"]))


@pytest.mark.parametrize("wire", [relay, v1, v2])
def test_it_is_counted_and_what_it_brings_counts(wire: Any) -> None:
    nothing = wire({"tooBig": True})
    assert (nothing.resets, nothing.counts) == ([DID], {TOO_BIG: 1})
    assert nothing.value
    some = wire(LIKE | {"tooBig": True})
    assert (some.resets, some.counts) == ([DID], {TOO_BIG: 1, ("event", "like"): 1})
    plain = wire(LIKE | {"tooBig": False})
    assert (plain.resets, plain.counts) == ([], {("event", "like"): 1})
    for odd in ("yes", 1, None, [True], {}):
        found = wire(LIKE | {"tooBig": odd})
        assert (found.resets, found.counts) == ([], {("event", "like"): 1})


@pytest.mark.parametrize("wire", [relay, v1, v2])
def test_the_repository_of_a_viewer_is_fetched_again(tmp_path: Path, wire: Any) -> None:
    store = HistoryStore(tmp_path)
    store.store_viewer(DID, [], time.time_ns() // 1000, "enough", count=90)
    store.close()
    know(tmp_path)
    visit(tmp_path, (DID, 1))
    with Repositories({DID: [record_of(DID, DAY_US)]}) as hosts:
        fetch_waiting.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert hosts.requests == []
        landing = Landing(tmp_path)
        landing.append(wire({"tooBig": True}), "one.example", "wire")
        landing.close()
        fetch_waiting.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert outcome(tmp_path, DID) == (1, "done")
