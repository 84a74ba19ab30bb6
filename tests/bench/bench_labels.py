"""What do a million labels cost, and does a page ever show what is withheld?

    python tests/bench/bench_labels.py [--labels 1000000] [--pages 100000] [--users 2000] [--parts in,batch,page,shown]

in: --labels signed labels, seven of ten on posts and the rest on accounts that nobody knew, are decoded and stored as
ingest does it; their rate and bytes. batch: the candidates job for everybody, on the likes of --users simulated people,
without labels and with as many. page: pages of 50 posts, without removals.sqlite and with as many rows of it. shown:
the operator blocks a word, a hashtag, a domain, accounts and posts; the real ingest follows a simulated network and its
labeler, the batch makes lists, the AppView is asked for profiles, more is labelled, blocked and allowed since, and
--pages pages are read, one in five anonymous; those with a post that somebody withholds are counted. Prints a table
and, last, one line of JSON.
"""

import json
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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


WORD, DOMAIN = "afternoon", "example.com"  # of rules about texts, beside the network's second hashtag


class Truth:
    """What labeler, authors and operator withhold, from what they said, not from what we stored."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        people = network.world.people
        self.of_texts: set[str] = set()  # at-uris
        self._by_authors: dict[str, int] = {
            did: self_level(people.self_labels(number)) for did, number in people.number.items()
        }
        self._by_labeler: dict[str, int] = {}
        self.rules: dict[str, bool] = {}  # at-uris and DIDs: blocked or allowed
        self._posts = []
        for line in network.world.lines():
            if b"app.bsky.feed.post" not in line or b'"record"' not in line:
                continue
            event = json.loads(line)
            commit, did = event["commit"], event["did"]
            record = commit.get("record")
            if commit["collection"] != "app.bsky.feed.post" or not isinstance(record, dict):  # rubbish
                continue
            uri = f"at://{did}/{commit['collection']}/{commit['rkey']}"
            self._posts.append((uri, record))
            labels = record.get("labels")
            if isinstance(labels, dict):
                self._by_authors[uri] = self_level([each["val"] for each in labels["values"]])
        tags = Counter(tag for _, record in self._posts for tag in tags_of(record))
        self.tag = tags.most_common(2)[1][0]
        for uri, record in self._posts:
            if any(re.search(rf"(?<!\w){WORD}(?!\w)", text, re.I) for text in strings_of(record)):
                self.of_texts.add(uri)
            if self.tag in tags_of(record) or any(f"//www.{DOMAIN}/" in text for text in strings_of(record)):
                self.of_texts.add(uri)

    def look(self) -> None:
        """Take over what the labeler says now."""
        levels = levels_from({})
        self._by_labeler = {}
        for uri, val in self._network.labeler.labels(self._network.now_us()):
            self._by_labeler[uri] = max(self._by_labeler.get(uri, 0), levels.get(val, 0))

    def level(self, uri: str) -> int:
        """Return from whom a post is withheld: 3 everybody, 1 or 2 who is not signed in, 0 nobody."""
        did = uri.split("/")[2]
        rule = self.rules.get(uri, self.rules.get(did))
        if rule or (rule is None and uri in self.of_texts):
            return 3
        by_labeler = 0 if rule is False else max(self._by_labeler.get(of, 0) for of in (uri, did))
        return max(by_labeler, *(self._by_authors.get(of, 0) for of in (uri, did)))

    @property
    def uris(self) -> list[str]:
        """All posts of the network."""
        return [uri for uri, _ in self._posts]

    def count(self, level: int) -> int:
        """Return how many posts of the network are withheld from so many."""
        return sum(self.level(uri) >= level for uri, _ in self._posts)


def self_level(values: Sequence[str]) -> int:
    """Return what an author's own labels mean: these are all that the simulator has."""
    return 3 if set(values) - {"!no-unauthenticated"} else 1 if values else 0


def tags_of(record: dict[str, Any]) -> set[str]:
    """Return the hashtags of a simulated post."""
    facets = record.get("facets")
    features = [one for facet in facets for one in facet["features"]] if isinstance(facets, list) else []
    return {one["tag"] for one in features if "tag" in one}


def strings_of(record: Any) -> Iterator[str]:
    """Yield every text in a record, wherever it stands."""
    if isinstance(record, str):
        yield record
    elif isinstance(record, dict):
        for name, value in record.items():
            if name != "thumb":
                yield from strings_of(value)
    elif isinstance(record, list):
        for value in record:
            yield from strings_of(value)


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


def rule(env: dict[str, str], truth: Truth, subjects: Sequence[str], *, blocked: bool) -> None:
    """Let the operator block or allow accounts and posts."""
    done = commands.run("block" if blocked else "allow", *subjects, env=env)
    assert done.returncode == 0, done.stderr
    truth.rules |= dict.fromkeys(subjects, blocked)


def _shown(data_dir: Path, network: SimulatedNetwork, pages: int) -> dict[str, float]:
    labeler, truth = network.labeler, Truth(network)
    env = commands.environment(
        data_dir, stream_url=network.stream_url, stream_start_hours="1000", plc_url=network.plc_url,
        labelers=labeler.did, appview_url=network.plc_url,
    )  # fmt: skip
    texts = (f"word:{WORD}", f"#{truth.tag}", f"domain:{DOMAIN}")
    assert commands.run("block", *texts, env=env).returncode == 0
    rule(env, truth, network.world.people.dids[::40], blocked=True)
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
        truth.look()
        before = truth.count(1)
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
        rule(env, truth, first[1::10], blocked=True)
        rule(env, truth, sorted({uri.split("/")[2] for uri in first[3::40]}), blocked=True)
        rule(env, truth, first[::25], blocked=False)
        asked = commands.run("backfill", "--profiles", env=env, seconds=600)
        assert asked.returncode == 0, asked.stderr
        truth.look()
        read = wrong = posts = allowed = 0
        levels = {uri: truth.level(uri) for uri in truth.uris}
        while read < pages:
            for place, viewer in enumerate(viewers):
                least = 1 if place % 5 == 0 else 3  # one in five is anonymous
                for page in walk(store, None if least == 1 else viewer, languages[place % len(languages)]):
                    read += 1
                    posts += len(page)
                    wrong += any(levels[uri] >= least for uri in page)
                    allowed += any(truth.rules.get(uri) is False for uri in page)
                if read >= pages:
                    break
        as_published = ListStore(places.serving(data_dir))  # what pages would show that do not look
        found = [page for viewer in viewers[:100] for page in walk(as_published, viewer, "en")]
        control = sum(any(levels[uri] >= 3 for uri in page) for page in found)
        return {
            "events": events, "viewers with a list": len(viewers),
            "posts withheld from somebody": truth.count(1),
            "of them from everybody": truth.count(3),
            "of them by rules about texts": len(truth.of_texts),
            "of them since the lists were made": truth.count(1) - before,
            "s until the last label was stored": round(waited, 2),
            "pages": read, "posts on them": posts, "pages with a withheld post": wrong,
            "pages with a post that is allowed": allowed,
            "% of pages that do not look": round(100 * control / len(found), 1),
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
