"""What do a million labels cost, and does a page ever show what is withheld?

    python tests/bench/bench_labels.py [--labels 1000000] [--pages 100000] [--users 2000] [--parts in,batch,page,shown]

in: --labels signed labels, seven of ten on posts and the rest on accounts that nobody knew, are decoded and stored as
ingest does it; their rate and bytes. batch: the candidates job for everybody, on the likes of --users simulated people,
without labels and with as many. page: pages of 50 posts, without removals.sqlite and with as many rows of it. shown:
the real ingest follows a simulated network and its labeler, the batch makes lists, more is labelled since, and --pages
pages are read, one in five anonymous; those with a post that somebody withholds are counted. Prints a table and, last,
one line of JSON.
"""

import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import commands
import libipld
import numpy as np
from bench_tools import number, parser_of, run_job
from coincurve import PrivateKey
from page_times import make_lists, page_times
from serving_worlds import plc_did, post_rkey
from streams import wait_until

from pipeline.identifiers import post_uri, tid_at
from pipeline.ingest.labels.label_frames import WantedLabels, decode
from pipeline.label_levels import levels_from
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.parameters import WorldParameters
from pipeline.store.labels import ACCOUNT, LabelBatch, LabelStatement, LabelStore
from pipeline.store.landing import Landing
from serving.feed.paging import PageRequest, page_of
from serving.identity.keys import SigningKey
from serving.lists.list_store import ListStore
from sql import places
from sql.sqlite import connect, open_migrated

LABELER = plc_did(999_999_999)
VALUES = ("porn", "spam", "sexual", "!hide", "graphic-media", "!warn", "sensitive")
GROUP = 5_000


def signed_frames(count: int, now_us: int) -> tuple[list[bytes], SigningKey]:
    """Return messages of one label each."""
    private, header = PrivateKey(b"\x07" * 32), libipld.encode_dag_cbor({"op": 1, "t": "#labels"})
    made = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now_us / 1e6))
    frames = []
    for seq in range(1, count + 1):
        did = plc_did(seq % 50_000)
        uri = post_uri(did, tid_at(now_us - seq * 500_000)) if seq % 10 < 7 else plc_did(1_000_000 + seq)
        label: dict[str, Any] = {
            "ver": 1,
            "src": LABELER,
            "uri": uri,
            "val": VALUES[seq % len(VALUES)],
            "cts": made,
        }
        label["sig"] = private.sign_recoverable(libipld.encode_dag_cbor(label))[:64]
        frames.append(header + libipld.encode_dag_cbor({"seq": seq, "labels": [label]}))
    return frames, SigningKey("ES256K", private.public_key.format())


def labels_in(count: int) -> dict[str, float]:
    """Return the rate and the bytes of labels that come in."""
    with tempfile.TemporaryDirectory() as name:
        folder, now_us = Path(name), int(time.time() * 1e6)
        Landing(folder).close()
        levels = levels_from({})
        store = LabelStore(folder, levels, (LABELER,))
        before = sizes(folder)
        decoding = storing = 0.0
        stored, left = 0, count
        while stored < count:  # signing is the bench's, so a part at a time
            part = min(left, 100_000)
            frames, key = signed_frames(part, now_us - stored * 500_000)
            first, last = store.bounds()
            for start in range(0, part, GROUP):
                began = time.perf_counter()
                wanted = WantedLabels(LABELER, key.verifies, levels, first, last, 0)
                batch = decode(frames[start : start + GROUP], wanted)
                middle = time.perf_counter()
                assert len(batch.statements) == len(frames[start : start + GROUP]), batch.counts
                batch.seq += stored
                store.append(LABELER, batch)
                decoding += middle - began
                storing += time.perf_counter() - middle
            stored, left = stored + part, left - part
        store.close()
        after = sizes(folder)
        rows = number(folder, "landing", "SELECT count(*) FROM labels")
        return {
            "labels stored": rows,
            "labels/s": round(count / (decoding + storing)),
            "µs decoding, with signature": round(decoding / count * 1e6, 1),
            "µs storing": round(storing / count * 1e6, 1),
            "bytes a label, landing": round((after[0] - before[0]) / rows, 1),
            "bytes a label, removals": round((after[1] - before[1]) / rows, 1),
        }


def sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of landing.sqlite and removals.sqlite, all in their files."""
    found = []
    for path in (places.landing(folder), places.removals(folder)):
        with closing(sqlite3.connect(path)) as store:
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found.append(path.stat().st_size)
    return found[0], found[1]


def fill(folder: Path, count: int) -> int:
    """Store labels without a stream: seven of ten on posts of the last days, the rest on accounts; return how many."""
    store = LabelStore(folder, levels_from({}), (LABELER,))
    with closing(connect(places.landing(folder), read_only=True)) as landing:
        dids = [did for (did,) in landing.execute("SELECT did FROM actors ORDER BY actor_id LIMIT 50000")]
        seen_us = landing.execute("SELECT seen_us FROM watermark").fetchone()[0]
    for start in range(0, count, GROUP):
        words = []
        for place in range(start, min(start + GROUP, count)):
            on_post = place % 10 < 7
            did = dids[place % len(dids)] if on_post else plc_did(10_000_000 + place)
            rkey = tid_at(seen_us - place * 500_000, 7) if on_post else ACCOUNT
            words.append(LabelStatement(did, rkey, VALUES[place % len(VALUES)], 3, None))
        store.append(LABELER, LabelBatch(words, seq=start + 1, first_seq=start + 1, reached=1))
    store.close()
    return number(folder, "landing", "SELECT count(*) FROM labels")


def batch_cost(count: int, users: int, runs: int = 5) -> dict[str, float]:
    """Return seconds and memory of a candidates job without labels and with some."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        lines = Path(name) / "lines.jsonl"
        simulate = ("--users", str(users), "--days", "4", "--write", str(lines))
        env = commands.environment(folder)
        for arguments in (("simulate", *simulate), ("backfill", "--file", str(lines))):
            done = commands.run(*arguments, env=env, seconds=900)
            assert done.returncode == 0, done.stderr
        (folder / "foryou.toml").touch()
        run_job(folder, "all")
        without = [run_job(folder, "candidates") for _ in range(runs)]
        labelled = fill(folder, count)
        having = [run_job(folder, "candidates") for _ in range(runs)]
        figures: dict[str, float] = {"labels in the batch's store": labelled}
        for kind, found in (("without", without), ("with", having)):
            for place, unit in enumerate(("s", "CPU s", "MB")):
                figures[f"candidates {kind}, {unit}"] = round(median(run[place] for run in found), 2)
        return figures


def page_cost(rows: int, pages: int) -> dict[str, float]:
    """Return the processor time of a page without removals.sqlite, and with so many withheld posts and authors.

    On a busy machine the time by the clock is that of waiting for a core.
    """
    choose = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_lists(folder, choose)
        base = post_rkey(1)
        with closing(open_migrated(places.removals(folder), "removals")) as removals:
            removals.execute("BEGIN")
            keys = (base + choose.integers(-(1 << 40), 1 << 40, rows * 7 // 10)).tolist()
            removals.executemany(
                "INSERT OR IGNORE INTO withheld_posts VALUES (?, ?, 1, 3)", [(key, key % 7) for key in keys]
            )
            authors = [(author, 1, 3, 1) for author in range(100, 100 + rows * 3 // 10)]
            removals.executemany("INSERT INTO withheld_authors VALUES (?, ?, ?, ?)", authors)
            removals.execute("COMMIT")
        times = page_times(folder, pages, time.thread_time)
    figures: dict[str, float] = {}
    for kind, found in times.items():
        figures[f"page {kind}, p50 CPU µs"] = round(median(found))
        figures[f"page {kind}, p99 CPU µs"] = round(sorted(found)[int(len(found) * 0.99)])
    return figures


class Truth:
    """What a network's labeler and authors withhold, from what they said, not from what we stored."""

    def __init__(self, network: SimulatedNetwork) -> None:
        levels = levels_from({})
        self.everybody: set[str] = set()  # at-uris, and DIDs of authors
        self.anonymous: set[str] = set()
        for uri, val in network.labeler.labels(network.now_us()):
            self._withhold(uri, levels.get(val, 0))
        profiles: dict[str, int] = {}
        for line in network.world.lines():
            if b"app.bsky.actor.profile" not in line and b"selfLabels" not in line:
                continue
            event = json.loads(line)
            commit, did = event["commit"], event["did"]
            record = commit.get("record", {})
            if not isinstance(record, dict):  # rubbish
                continue
            values = {each["val"] for each in record.get("labels", {}).get("values", [])}
            level = 1 if values == {"!no-unauthenticated"} else 3 if values else 0
            if commit["collection"] == "app.bsky.actor.profile":
                profiles[did] = level
            else:
                self._withhold(f"at://{did}/{commit['collection']}/{commit['rkey']}", level)
        for did, level in profiles.items():
            self._withhold(did, level)

    def _withhold(self, uri: str, level: int) -> None:
        if level >= 3:
            self.everybody.add(uri)
        if level >= 1:
            self.anonymous.add(uri)

    def hides(self, uri: str, *, anonymous: bool) -> bool:
        """Tell whether a post may not be on a page."""
        hidden = self.anonymous if anonymous else self.everybody
        return uri in hidden or uri.split("/")[2] in hidden


def walk(store: ListStore, viewer: str | None, language: str) -> Iterator[list[str]]:
    """Yield the pages of a list, to its end."""
    cursor = None
    while True:
        with store.read() as snapshot:
            assert snapshot is not None
            page = page_of(snapshot, PageRequest("for-you", viewer, (language,), 30, cursor))
        yield [entry.uri for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            return


def shown(pages: int, users: int) -> dict[str, float]:
    """Return how many of so many pages show what somebody withholds."""
    folder = Path(tempfile.mkdtemp())
    try:
        with SimulatedNetwork(WorldParameters(users=users, days=3), speed=0) as network:
            return _shown(folder / "data", network, pages)
    finally:
        shutil.rmtree(folder)


def _shown(data_dir: Path, network: SimulatedNetwork, pages: int) -> dict[str, float]:
    labeler = network.labeler
    env = commands.environment(
        data_dir, stream_url=network.stream_url, stream_start_hours="1000", plc_url=network.plc_url,
        labelers=labeler.did,
    )  # fmt: skip
    with commands.running("ingest", env=env, log=data_dir.parent / "log"):
        seq = labeler.label(plc_did(1), "spam")  # the last so far
        cursor = "SELECT seq FROM labelers"
        events = network.world.count_until(network.now_us())
        wait_until(lambda: number(data_dir, "landing", cursor) >= seq, 600)
        likes = (line for line in network.world.lines() if b'"app.bsky.feed.like"' in line)
        last_us = max(json.loads(line)["time_us"] for line in likes)
        wait_until(lambda: number(data_dir, "landing", "SELECT last_us FROM watermark") >= last_us, 600)
        (data_dir / "foryou.toml").touch()
        run_job(data_dir, "all")
        store = ListStore(places.serving(data_dir), places.removals(data_dir))
        with store.read() as snapshot:
            assert snapshot is not None
            viewers = snapshot.some_viewers(1_000_000)
        languages = ("en", "ja", "pt", "de", "")
        before = Truth(network)
        first = [uri for viewer in viewers[:50] for page in walk(store, viewer, "en") for uri in page]
        first += [uri for page in walk(store, None, "") for uri in page]
        first = sorted(set(first))
        for place, uri in enumerate(first[::5]):  # and since the lists were made
            subject = uri if place % 3 else uri.split("/")[2]
            seq = labeler.label(subject, ("porn", "!no-unauthenticated", "spam")[place % 3])
        for uri in first[::50]:
            seq = labeler.label(uri, "porn", neg=True)
        began = time.perf_counter()
        wait_until(lambda: number(data_dir, "landing", cursor) >= seq, 600)
        waited = time.perf_counter() - began
        truth = Truth(network)
        read = wrong = posts = 0
        while read < pages:
            for place, viewer in enumerate(viewers):
                anonymous = place % 5 == 0
                for page in walk(store, None if anonymous else viewer, languages[place % len(languages)]):
                    read += 1
                    posts += len(page)
                    wrong += any(truth.hides(uri, anonymous=anonymous) for uri in page)
                if read >= pages:
                    break
        as_published = ListStore(places.serving(data_dir))  # what pages would show that do not look
        found = [page for viewer in viewers[:100] for page in walk(as_published, viewer, "en")]
        control = sum(any(truth.hides(uri, anonymous=False) for uri in page) for page in found)
        return {
            "events": events, "viewers with a list": len(viewers),
            "withheld by labels and authors": len(truth.anonymous),
            "of them from everybody": len(truth.everybody),
            "of them since the lists were made": len(truth.anonymous - before.anonymous),
            "s until the last label was stored": round(waited, 2),
            "pages": read, "posts on them": posts, "pages with a withheld post": wrong,
            "the same, % of pages that do not look": round(100 * control / len(found), 1),
        }  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = parser_of(
        __doc__, labels=1_000_000, pages=100_000, users=2_000, parts="in,batch,page,shown"
    ).parse_args()
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "in": lambda: labels_in(options.labels),
        "batch": lambda: batch_cost(options.labels, options.users),
        "page": lambda: page_cost(options.labels, 5_000),
        "shown": lambda: shown(options.pages, options.users),
    }
    figures: dict[str, float] = {}
    for part in options.parts.split(","):
        found = parts[part]()
        for name, value in found.items():
            print(f"{name:>36} {value:>14,}", flush=True)
        figures |= found
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
