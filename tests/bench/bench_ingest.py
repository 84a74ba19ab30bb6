"""How many events a second does ingest take from each wire, from the socket to the commit, and what bounds it?

    python tests/bench/bench_ingest.py [--wire NAME] [--messages 400000] [--rounds 1] [--plain 20000] [--before DIR]

The messages are the recorded window of the live network with its real mix of events, repeated with other people and
keys (wire_feed.py), over a loopback websocket from another process. In each round, for one wire after the other:

1. ``foryou ingest``, one process: messages and likes per second and per CPU-second, from the connection to the commit
   with the last message;
2. plain_ingest.py, the straightforward way with the atproto package's clients and models, on fewer messages;
3. in this process, on one core, one part after the other: cutting messages from the stream's bytes, decoding them,
   storing the decoded batches, and the parts of storing.

With ``--before``, the first step alone, by this checkout and by the one in DIR in turn: medians of both, and the median
of the rounds' ratios.

Prints a table of medians per wire and, last, one line of JSON. 10,000 frames of the relay's wire are 54 MB, so
--messages counts a quarter there. Skipped where ../shared/data is absent.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import commands
from bench_tools import ROOT, cpu_seconds, memory_mb, number, parser_of
from streams import wait_until
from wire_feed import DICTIONARY, REAL, Feed, last_us

from pipeline.ingest import firehose, jetstream, jetstream_v2
from pipeline.ingest.frames import MessageConnection
from pipeline.ingest.service import GC_THRESHOLDS
from pipeline.ingest.writer import BATCH_MESSAGES
from pipeline.simulate.server.listener import frames
from pipeline.store.events import EventBatch
from pipeline.store.landing import Landing

PATHS = {
    "jetstream-v1": "/subscribe",
    "jetstream-v2": f"/xrpc/{jetstream_v2.PATH}",
    "firehose": f"/xrpc/{firehose.PATH}",
}
PIECE_BYTES = 256 << 10  # as the socket gives them
PARTS_MESSAGES = 100_000
CHUNK_MESSAGES = 2_000  # about a megabyte, as the reader hands them over


@contextmanager
def feeding(wire: str, count: int) -> Iterator[int]:
    """Serve so many messages from a process of its own; yields the port."""
    program = [sys.executable, str(Path(__file__).parent / "wire_feed.py"), wire, str(count)]
    feeder = subprocess.Popen(program, stdout=subprocess.PIPE)
    try:
        assert feeder.stdout is not None
        yield int(feeder.stdout.readline())
    finally:
        feeder.kill()
        feeder.wait()


def whole(wire: str, port: int, count: int, checkout: Path = ROOT) -> dict[str, float]:
    """Run a checkout's ``foryou ingest`` over all messages, until the last of them is committed."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        env = commands.environment(
            data_dir, stream_url=f"ws://127.0.0.1:{port}{PATHS[wire]}", stream_start_hours="1000000"
        ) | {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
        log = data_dir / "log"
        with commands.running("ingest", env=env, log=log) as process:
            wait_until(lambda: "connected to" in log.read_text(), 60)
            began, before = time.perf_counter(), cpu_seconds(process.pid)
            wait_until(lambda: stored_us(data_dir) >= last_us(count), 600)
            seconds, cpu = time.perf_counter() - began, cpu_seconds(process.pid) - before
            peak = memory_mb(process.pid, "VmHWM")
            commands.stop(process)
        likes = number(data_dir, "landing", "SELECT count(*) FROM likes")
    return {
        "messages_per_second": count / seconds,
        "likes_per_second": likes / seconds,
        "messages_per_cpu_second": count / cpu,
        "cpu_us_per_message": cpu / count * 1e6,
        "peak_mb": peak,
    }


def stored_us(data_dir: Path) -> int:
    """Return the time of the last message that was committed.

    The cursor of time waits until later events confirm it, so at the end of a stream it comes seconds later. Before
    commit 85673f6 it did not, and there was no last_us.
    """
    queries = ("SELECT last_us FROM watermark", "SELECT max(event_us) FROM stream_cursors")
    return max(number(data_dir, "landing", query) for query in queries)


def plain(wire: str, port: int, count: int) -> dict[str, float]:
    """Run the straightforward way over the first so many messages."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(__file__).parent / "plain_ingest.py")
        arguments = [sys.executable, program, wire, str(port), str(count), f"{folder}/plain.sqlite"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            figures = json.loads(process.stdout.readline())
            process.kill()
    return {
        "plain_messages_per_second": count / figures["seconds"],
        "plain_messages_per_cpu_second": count / figures["cpu"],
    }


def parts(wire: str, messages: list[bytes]) -> dict[str, float]:
    """Return microseconds of CPU a message of each part, alone on one core."""
    stream = b"".join(frames(messages[at : at + 256], 0x82) for at in range(0, len(messages), 256))
    connection = MessageConnection.__new__(MessageConnection)
    cut: list[bytes] = []
    connection._head, connection._plain, connection._rest, connection._skip = None, False, b"", 0
    connection._fragments, connection._fragments_size = None, 0
    connection._receive = lambda some, _size: cut.extend(some)
    began = time.process_time()
    for at in range(0, len(stream), PIECE_BYTES):
        connection.data_received(stream[at : at + PIECE_BYTES])
    figures = {"cut": time.process_time() - began}
    assert cut == messages
    decode: Callable[[list[bytes], EventBatch], None] = {
        "jetstream-v1": jetstream.decode,
        "jetstream-v2": jetstream_v2.MessageDecoder(DICTIONARY.read_bytes()),
        "firehose": firehose.decode,
    }[wire]
    batches = []
    began = time.process_time()
    for at in range(0, len(messages), BATCH_MESSAGES):
        batch = EventBatch()
        for start in range(at, at + BATCH_MESSAGES, CHUNK_MESSAGES):
            decode(messages[start : start + CHUNK_MESSAGES], batch)
        batches.append(batch)
    figures["decode"] = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder:
        landing = Landing(Path(folder))
        spent = timed(landing)
        began = time.process_time()
        for batch in batches:
            landing.append(batch, "bench.example", wire)
        figures["store"] = time.process_time() - began
        landing.close()
    figures |= {f"store: {name}": seconds for name, seconds in spent.items()}
    return {name: seconds / len(messages) * 1e6 for name, seconds in figures.items()}


def timed(landing: Landing) -> dict[str, float]:
    """Measure the parts of storing."""
    spent: dict[str, float] = defaultdict(float)

    def wrap(owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def measured(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return original(*arguments, **named)
            finally:
                spent[name] += time.process_time() - began

        setattr(owner, method, measured)

    wrap(landing._actors, "intern", "actor numbers")
    wrap(landing, "_stage", "staging rows")
    wrap(landing, "_merge", "merging them")
    return spent


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def measure(wire: str, options: argparse.Namespace) -> dict[str, float]:
    quarter = 4 if wire == "firehose" else 1
    count = options.messages // quarter
    rounds = []
    with feeding(wire, count) as port:
        for _ in range(options.rounds):
            figures = whole(wire, port, count)
            if options.plain:
                figures |= plain(wire, port, min(count, options.plain))
            rounds.append(figures)
    messages = list(Feed().messages(wire, PARTS_MESSAGES // quarter))
    alone = [parts(wire, messages) for _ in range(options.rounds)]
    figures = medians(rounds) | {f"us a message: {name}": us for name, us in medians(alone).items()}
    figures["decoding_alone_per_second"] = 1e6 / figures["us a message: decode"]
    if options.plain:
        ratio = figures["messages_per_cpu_second"] / figures["plain_messages_per_cpu_second"]
        figures["times_the_plain_way_per_cpu_second"] = ratio
    return figures


def compare(wire: str, before: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return CPU a message of both checkouts in turn, and the median of their ratios."""
    count = options.messages // (4 if wire == "firehose" else 1)
    found: dict[Path, list[float]] = {before.resolve(): [], ROOT: []}
    with feeding(wire, count) as port:
        for turn in range(options.rounds):
            for checkout in sorted(found, reverse=turn % 2 == 1):
                found[checkout].append(whole(wire, port, count, checkout)["cpu_us_per_message"])
    then, now = found.values()
    ratios = [b / a for a, b in zip(then, now, strict=True)]
    return {
        "cpu_us_per_message before": statistics.median(then),
        "cpu_us_per_message": statistics.median(now),
        "ratio": statistics.median(ratios),
        "lowest ratio": min(ratios),
        "highest ratio": max(ratios),
    }


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__, messages=400_000, rounds=1, plain=20_000)
    parser.add_argument("--wire", choices=tuple(PATHS))
    parser.add_argument("--before", type=Path, help="another checkout, to be compared with this one")
    options = parser.parse_args()
    if not REAL.is_dir():
        sys.exit(f"recorded bytes of the live network are not at {REAL}")

    gc.set_threshold(*GC_THRESHOLDS)
    results = {}
    for wire in [options.wire] if options.wire else PATHS:
        before = options.before
        results[wire] = compare(wire, before, options) if before else measure(wire, options)
        print(f"{wire} (load {os.getloadavg()[0]:.1f})")
        for name, value in results[wire].items():
            print(f"  {name:40} {value:12,.2f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
