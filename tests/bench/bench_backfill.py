"""How fast does history become likes, and does a day of 20 million fit in 2 GB?

    python tests/bench/bench_backfill.py [--events 400000] [--day-likes 20000000] [--actors 1000000] [--seed 0]

The input is one segment in the archive's format with the network's mix: 69 % likes, a quarter of them with "via".
Three ways take turns on one core, three times each, and medians are shown: decoding to events alone; decoding,
numbering DIDs and spooling, as a run does; and the straightforward way with the atproto package (decode_block, then
its models). Then a process of its own makes a day of the lake from a day of likes in the spool, and its peak memory is
measured. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import libipld
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from atproto_jetstream.archive.downloader import iter_block_frames
from atproto_jetstream.archive.events import to_messages
from atproto_jetstream.archive.segment import decode_block as sdk_decode_block
from bench_tools import parser_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from archive_server import CID, CREATE, DELETE, LIKE, Event, encode_segment

from pipeline.backfill.archived_days import STRETCH_BLOCKS
from pipeline.backfill.segments import Rows, block_frames, decode_block
from pipeline.backfill.spool import SegmentRows, Spool
from pipeline.identifiers import TID_ALPHABET, tid_at, tid_from_int
from pipeline.lake.merge import merge_day
from pipeline.lake.reader import WORD_SCHEMA
from pipeline.store.duck import open_duckdb
from pipeline.store.fetched_likes import HistoryStore
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US
from sql import places

DAY = 20_700
OTHERS = (("app.bsky.feed.post", 0.11), ("app.bsky.feed.repost", 0.10), ("app.bsky.graph.follow", 0.07))


def did_of(number: int) -> str:
    """Return a did:plc for a number."""
    return "did:plc:" + "".join(TID_ALPHABET[(number * 2654435761 >> shift) % 32] for shift in range(24))


def segment_of(options: argparse.Namespace) -> tuple[bytes, int]:
    """Return a segment of the network's mix, and how many likes are created in it."""
    choose = random.Random(options.seed)
    events, likes = [], 0
    for seq in range(1, options.events + 1):
        now_us = DAY * DAY_US + seq * 3000
        liker = did_of(int(choose.paretovariate(1.0) * options.actors / 50) % options.actors)
        rkey = tid_from_int(tid_at(now_us - 500_000, choose.randrange(1024)))
        share = choose.random()
        if share < 0.69:
            author = did_of(int(choose.paretovariate(0.8) * 1000) % options.actors)
            uri = (
                f"at://{author}/app.bsky.feed.post/{tid_from_int(tid_at(now_us - choose.randrange(DAY_US)))}"
            )
            record = {
                "$type": LIKE,
                "subject": {"cid": CID, "uri": uri},
                "createdAt": "2026-09-04T12:00:00.000Z",
            }
            if choose.random() < 0.25:
                record["via"] = {"cid": CID, "uri": uri.replace("feed.post", "feed.repost")}
            events.append(Event(seq, now_us, CREATE, liker, LIKE, rkey, libipld.encode_dag_cbor(record)))
            likes += 1
        elif share < 0.72:
            events.append(Event(seq, now_us, DELETE, liker, LIKE, rkey))
        else:
            collection = OTHERS[choose.randrange(3)][0]
            body = {"$type": collection, "text": "x" * 200, "createdAt": "2026-09-04T12:00:00.000Z"}
            events.append(Event(seq, now_us, CREATE, liker, collection, rkey, libipld.encode_dag_cbor(body)))
    return encode_segment(events), likes


def decode_alone(path: Path) -> int:
    """Return the likes of a segment, decoded and dropped."""
    likes = 0
    for frame in block_frames(path):
        rows = Rows()
        decode_block(frame, rows)
        likes += sum(word.author is not None for word in rows.words)
    return likes


def decode_and_spool(path: Path, folder: Path) -> int:
    """Do what a run does with a segment."""
    store, spool = HistoryStore(folder), Spool(folder, "bench")
    segment, rows = SegmentRows(DAY - 10), Rows()
    for number, frame in enumerate(block_frames(path), 1):
        decode_block(frame, rows)
        if number % STRETCH_BLOCKS == 0:
            segment.add(rows, store.intern(rows.dids()))
            rows = Rows()
    segment.add(rows, store.intern(rows.dids()))
    spool.write("seg_0.jss", segment)
    store.close()
    return segment.counts["like"]


def sdk_way(path: Path) -> int:
    """Return the likes of a segment by the atproto package's decoder and models."""
    return sum(
        getattr(message, "collection", "") == LIKE and message.operation == "create"
        for frame in iter_block_frames(path.read_bytes())
        for message in to_messages(sdk_decode_block(frame), with_cid=False)
    )


def fill_spool(folder: Path, options: argparse.Namespace) -> None:
    """Spool a day of likes: heavy-tailed likers and posts, 1 % of them unliked, in files as segments make them."""
    rng = np.random.default_rng(options.seed)
    spool, a_file = Spool(folder, "bench"), 1_000_000
    (spool.root / "rows" / places.day_name(DAY)).mkdir()
    posts = 3_000_000
    post_rkeys = (DAY * DAY_US - rng.integers(0, 2 * DAY_US, posts)) << 10
    for start in range(0, options.day_likes, a_file):
        count = min(a_file, options.day_likes - start)
        seen = DAY * DAY_US + (start + np.arange(count)) * (DAY_US // (options.day_likes + 1))
        post = (rng.pareto(0.9, count) * posts / 200 % posts).astype(np.int64)
        liker = (rng.pareto(1.0, count) * options.actors / 50 % options.actors).astype(np.int64)
        unliked = rng.random(count) < 0.01
        rkeys = (seen - rng.integers(0, 2_000_000, count) << 10) | rng.integers(0, 1024, count)
        columns = {
            "liker_id": liker, "rkey": rkeys, "rev": rkeys + (8_000 << 10), "author_id": post % 100_000,
            "post_rkey": post_rkeys[post], "seen_us": seen, "marks": 0,
        }  # fmt: skip
        arrays = [
            pa.array(np.broadcast_to(np.asarray(columns[f.name]), count).astype(f.type.to_pandas_dtype()))
            for f in WORD_SCHEMA
        ]
        table = pa.Table.from_arrays(arrays, schema=WORD_SCHEMA)
        unlikes = table.filter(pa.array(unliked))
        revs = pa.array(np.asarray(unlikes["rev"]) + (3_600_000_000 << 10))
        unlikes = unlikes.set_column(2, WORD_SCHEMA.field("rev"), revs)
        for name in ("author_id", "post_rkey"):
            place = WORD_SCHEMA.get_field_index(name)
            field = WORD_SCHEMA.field(place)
            unlikes = unlikes.set_column(place, field, pa.nulls(len(unlikes), field.type))
        path = spool.root / "rows" / places.day_name(DAY) / f"seg_{start:09d}.jss"
        pq.write_table(pa.concat_tables([table, unlikes]), path, compression="zstd", use_dictionary=False)


def write(folder: Path, threads: int, queue: "multiprocessing.Queue[tuple[int, float, float]]") -> None:
    """Make the day; report likes, seconds and peak memory in MB."""
    began = time.perf_counter()
    Landing(folder).close()
    connection = open_duckdb(folder / "tmp", threads, 512)
    steps = list(merge_day(folder, DAY, connection, more=Spool(folder, "bench").row_files(DAY)))
    connection.close()
    likes = steps[-1][1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )
    queue.put((likes, time.perf_counter() - began, peak))


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, events=400_000, day_likes=20_000_000, actors=1_000_000, threads=2, seed=0)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        data, likes = segment_of(options)
        path = folder / "segment"
        path.write_bytes(data)
        print(
            f"segment: {options.events:,} events, {likes:,} likes, {len(data) / options.events:.0f} bytes an event"
        )
        rates: dict[str, list[float]] = {}
        for turn in range(3):
            for label, work in (
                ("decode", lambda: decode_alone(path)),
                ("and spool, DIDs new", lambda turn=turn: decode_and_spool(path, folder / str(turn))),
                ("and spool, DIDs known", lambda turn=turn: decode_and_spool(path, folder / str(turn))),
                ("atproto package", lambda: sdk_way(path)),
            ):
                began = time.perf_counter()
                assert work() == likes
                rates.setdefault(label, []).append(likes / (time.perf_counter() - began))
        for label, found in rates.items():
            figures[label] = round(statistics.median(found))
            print(f"{label:>24}: {figures[label]:>9,.0f} likes/s")
        if options.day_likes:
            fill_spool(folder / "day", options)
            queue: multiprocessing.Queue[tuple[int, float, float]] = multiprocessing.Queue()
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=write, args=(folder / "day", options.threads, queue))
            process.start()
            made, seconds, peak = queue.get()
            process.join()
            size = places.likes(folder / "day", DAY).stat().st_size
            figures |= {"day_likes": made, "day_seconds": round(seconds, 1), "day_peak_mb": round(peak)}
            figures["bytes_a_like"] = round(size / made, 1)
            print(
                f"a day of {made:,} likes: {seconds:.1f} s, peak {peak:,.0f} MB, {size / made:.1f} bytes a like"
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
