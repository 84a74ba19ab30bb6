"""What fault runs have in common: comparing the stores with the simulator's record, killing, a disk that is full."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import commands
import pytest
from streams import WAIT_SECONDS, LineStream, free_port, wait_until

from pipeline.demo.stored_likes import like_record, like_records
from pipeline.simulate.ground_truth import ground_truth
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.store.model import keys_of_day
from sql import places


def differences(data_dir: Path, *worlds: World) -> tuple[int, int, int]:
    """Return how many likes are held, how many of the record are missing, how many are too many.

    The first world is the stream's; of the others a file told everything.
    """
    held, until_us = like_records(data_dir, merged=True)
    wanted = set()
    for place, world in enumerate(worlds):
        kept = ground_truth(world, until_us if place == 0 else world.parameters.end_us)
        gone = {did for did, (status, _) in kept.accounts.items() if status == "deleted"}
        wanted |= {
            like_record(like.did, like.rkey, like.subject) for like in kept.likes() if like.did not in gone
        }
    wanted.discard(None)
    return len(held), len(wanted - set(held)), len(held) - len(set(held) & wanted)


def kill_ingest(
    env: dict[str, str], data_dir: Path, kills: int, choose: random.Random, lines: Sequence[bytes] = ()
) -> Counter[str]:
    """Kill ingest again and again: just after a commit, while it deletes what is in the lake, or at any moment.

    With ``lines``, every third time it is ``backfill --file`` that is killed, which tells a stretch of them.
    """
    states: Counter[str] = Counter()
    log, path = data_dir / "ingest.log", data_dir / "lines.jsonl"
    for number in range(kills):
        if lines and number % 3 == 2:
            start = choose.randrange(len(lines))
            path.write_bytes(b"\n".join(lines[start : start + len(lines) // 4]))
            states[kill_backfill(env, data_dir, path, choose)] += 1
            continue
        with commands.running("ingest", env=env, log=log) as process:
            seen, stored_us, words = _size(log), watermark_us(data_dir), _words_in_lake(data_dir)
            kind = choose.choice(["committed", "purging", "connected", "at any moment"])
            if kind == "committed":
                wait_for(lambda stored_us=stored_us: watermark_us(data_dir) > stored_us, process)
                time.sleep(choose.expovariate(100.0))
            elif kind == "purging":
                wait_for(lambda words=words: _words_in_lake(data_dir) < words, process, seconds=4)
            elif kind == "connected":
                wait_for(lambda seen=seen: b"connected to" in _read_from(log, seen), process)
                time.sleep(choose.expovariate(1.0))
            else:
                time.sleep(choose.uniform(0.1, 3.0))
            process.kill()
            process.wait()
            states[f"ingest, {kind}"] += 1
    return states


def kill_backfill(env: dict[str, str], data_dir: Path, path: Path, choose: random.Random) -> str:
    """Kill ``backfill --file``: just after a commit, or at any moment; return which."""
    told = number_in(data_dir, "SELECT commit_no FROM last_commit")
    with commands.running("backfill", "--file", str(path), env=env, log=data_dir / "backfill.log") as process:
        if choose.random() < 0.5:
            wait_for(lambda: number_in(data_dir, "SELECT commit_no FROM last_commit") > told, process)
        else:
            time.sleep(choose.uniform(0.1, 2.0))
        done = process.poll() is not None
        process.kill()
        process.wait()
    return "backfill, done" if done else "backfill"


def kill_compaction(env: dict[str, str], data_dir: Path, kills: int, choose: random.Random) -> Counter[str]:
    """Kill compactions: most while a file of the lake is being written or renamed, the others at any moment."""
    states: Counter[str] = Counter()
    while states.total() < kills:
        look_through_again(data_dir)
        with commands.running("batch", "--job", "compact", env=env, log=data_dir / "batch.log") as process:
            if choose.random() < 0.75:
                wait_for(lambda: any(places.lake_drafts(data_dir).glob("*.parquet")), process)
                time.sleep(choose.expovariate(50.0))
            else:
                time.sleep(choose.uniform(0.2, 3.0))
            if process.poll() is not None:
                if process.returncode:
                    last = (data_dir / "batch.log").read_text().splitlines()[-1]
                    states[f"compaction failed by itself: {last}"] += 1
                continue  # there was nothing to write
            process.kill()
            process.wait()
        half = any(places.lake_drafts(data_dir).glob("*.parquet"))
        states["compaction, a file half made" if half else "compaction, between files"] += 1
    return states


def look_through_again(data_dir: Path) -> None:
    """Make every day of the lake look as if it had not been looked through for long."""
    for file in (data_dir / "lake" / "likes").glob("*/likes.parquet"):
        os.utime(file, (1, 1))


def wait_for(
    condition: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = WAIT_SECONDS
) -> None:
    """Poll often until the condition holds, the process has ended, or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition() or process.poll() is not None or time.monotonic() > deadline:
            return
        time.sleep(max(0.003, 2 * (time.monotonic() - asked)))


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _read_from(log: Path, start: int) -> bytes:
    with log.open("rb") as file:
        file.seek(start)
        return file.read()


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[None]:
    """Mount a file system in memory of that size on a folder; the test is skipped where that is not possible."""
    folder.mkdir()
    made = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if shutil.which("mount")
        else None
    )
    if made is None or made.returncode != 0:
        pytest.skip(
            f"no small file system can be mounted here: {made.stderr.strip() if made else 'no mount'}"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, size_kb: int) -> None:
    """Give a small disk another size."""
    subprocess.run(["mount", "-o", f"remount,size={size_kb}k", str(folder)], check=True)


@dataclass
class Outcome:
    """What a fault run found: likes held, of the record's missing, too many; how parts died; the log's lines."""

    held: int
    missing: int
    extra: int
    states: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: float = 0.0


def kill_both(data_dir: Path, kills: int, seed: int, *, users: int, hours_a_second: float) -> Outcome:
    """Kill ingest and ``backfill --file``, in turns, and compaction so many times each, all on days of a stream.

    A like, an unlike and a deleted account are all in the stream. Every compaction looks through a day again. The file
    has likes of other people on the same days, which are late words about closed days; at last it is read whole.
    """
    began = time.monotonic()
    parameters = WorldParameters(users=users, days=10, seed=seed, end_us=1_785_000_000_000_000)
    others = World(replace(parameters, users=users // 4, seed=seed + 1_000))
    lines = list(others.lines())
    with SimulatedNetwork(parameters, speed=hours_a_second * 3600) as network:
        env = commands.environment(
            data_dir, stream_url=network.stream_url, stream_start_hours="1000000", batch_threads="1"
        )
        log = data_dir / "ingest.log"

        def kill_then_follow() -> Counter[str]:
            states = kill_ingest(env, data_dir, kills, random.Random(seed), lines)
            with commands.running("ingest", env=env, log=log) as process:
                now_us = network.now_us()
                wait_until(
                    lambda: watermark_us(data_dir) >= now_us - 3_600_000_000 or process.poll() is not None
                )
                assert process.poll() is None, log.read_text()[-2_000:]
                assert commands.stop(process) == 0
            return states

        with ThreadPoolExecutor(1) as pool:
            ingest = pool.submit(kill_then_follow)
            # Where a machine is slow, ingest may be killed each time before it stored anything: then it's the last that
            # gives compaction something to do.
            wait_until(lambda: watermark_us(data_dir) > 0 or ingest.done())
            assert watermark_us(data_dir) > 0, ingest.result()
            states = kill_compaction(env, data_dir, kills, random.Random(seed + 1))
            states += ingest.result()
        path = data_dir / "lines.jsonl"
        path.write_bytes(b"\n".join(lines))
        result = commands.run("backfill", "--file", str(path), env=env)
        assert result.returncode == 0, result.stderr
        while True:  # what the killed ones left is done by one that is left alone
            look_through_again(data_dir)
            result = commands.run("batch", "--job", "compact", env=env)
            assert result.returncode == 0, result.stderr
            if "write" not in result.stderr and "change" not in result.stderr:
                break
        found = differences(data_dir, network.world, others)
    return Outcome(*found, states, seconds=time.monotonic() - began)


def stop_server(data_dir: Path, seconds: float, silence_seconds: float) -> Outcome:
    """Stop a network's process for a time (SIGSTOP) while it is followed, then let it go on."""
    port = free_port()
    parameters = WorldParameters(users=300, days=1, seed=5, end_us=1_785_000_000_000_000)
    network = ("--users", "300", "--days", "1", "--seed", "5", "--end", "2026-07-25T17:20:00Z")
    env = commands.environment(
        data_dir,
        stream_url=f"ws://127.0.0.1:{port}/subscribe",
        stream_start_hours="1000000",
        stream_silence_seconds=str(silence_seconds),
    )
    server_log, log = data_dir / "simulate.log", data_dir / "ingest.log"
    simulate = ("simulate", "--listen", f"127.0.0.1:{port}", "--speed", "1200", *network)
    with commands.running(*simulate, env=env, log=server_log) as server:
        wait_until(lambda: "listening" in server_log.read_text())
        with commands.running("ingest", env=env, log=log) as process:
            wait_until(lambda: watermark_us(data_dir) >= parameters.end_us)
            server.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            wait_until(lambda: "nothing came for" in log.read_text(), silence_seconds + 60)
            time.sleep(max(0.0, seconds - (time.monotonic() - stopped)))
            before = watermark_us(data_dir)
            server.send_signal(signal.SIGCONT)
            # Beyond the time that passed meanwhile: a server's clock goes on while it is stopped.
            wait_until(lambda: watermark_us(data_dir) > before + int((seconds + 2) * 1200 * 1e6))
            assert commands.stop(process) == 0
    found = differences(data_dir, World(parameters))
    return Outcome(*found, lines=told(log))


def fill_disk(folder: Path, spare_kb: int) -> Path:
    """Leave so many kilobytes of a small disk; return the file that takes the rest."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    filler.write_bytes(bytes(max(0, free - spare_kb * 1024)))
    return filler


def fill_under_ingest(folder: Path) -> Outcome:
    """Let the disk run full under ingest; free it, and let ingest begin again. ``folder`` is a small disk."""
    parameters = WorldParameters(users=1200, days=3, seed=6, end_us=1_785_000_000_000_000)
    with SimulatedNetwork(parameters, speed=0) as network:
        env = commands.environment(folder, stream_url=network.stream_url, stream_start_hours="1000000")
        results = [commands.run("ingest", env=env) for _ in range(2)]
        for result in results:
            assert result.returncode == 1, result.stderr
        partial = differences(folder, network.world)
        assert partial[1:] == (0, 0), "what was committed before the disk was full is whole"
        resize(folder, 65_536)
        log = folder / "ingest.log"
        with commands.running("ingest", env=env, log=log) as process:
            wait_until(lambda: watermark_us(folder) >= network.world.parameters.end_us - 600_000_000)
            assert commands.stop(process) == 0
        found = differences(folder, network.world)
        assert found[0] > partial[0]
    return Outcome(*found, lines=[result.stderr.splitlines()[-1] for result in results])


def fill_under_compaction(folder: Path) -> Outcome:
    """Let the disk be full, to different degrees, when compaction writes; then free it and compact again."""
    parameters = WorldParameters(users=1200, days=4, seed=6, end_us=1_785_000_000_000_000)
    with SimulatedNetwork(parameters, speed=0) as network:
        env = commands.environment(folder, stream_url=network.stream_url, stream_start_hours="1000000")
        with commands.running("ingest", env=env) as process:
            wait_until(lambda: watermark_us(folder) >= network.world.parameters.end_us - 600_000_000)
            assert commands.stop(process) == 0
        whole = differences(folder, network.world)
        lines = []
        for spare_kb in (0, 24, 300):
            filler = fill_disk(folder, spare_kb)
            result = commands.run("batch", "--job", "compact", env=env)
            filler.unlink()
            assert result.returncode == 1, f"{spare_kb} kB were enough: {result.stderr}"
            assert "Traceback" not in result.stderr, result.stderr
            lines.append(result.stderr.splitlines()[-1])
            assert differences(folder, network.world) == whole
        result = commands.run("batch", "--job", "compact", env=env)
        assert result.returncode == 0, result.stderr
        assert places.closed_days(folder)
        found = differences(folder, network.world)
    return Outcome(*found, lines=lines)


def told(log: Path) -> list[str]:
    """Return what a log of ingest tells beyond that it connected and how fast it is."""
    usual = ("connected to", "events/s,")
    return [line for line in log.read_text().splitlines() if not any(words in line for words in usual)]


def watermark_us(data_dir: Path) -> int:
    """Return how far ingest has come, 0 before it began."""
    return number_in(data_dir, "SELECT seen_us FROM watermark")


def _words_in_lake(data_dir: Path) -> int:
    """Return how many words landing.sqlite still has of days that are in the lake."""
    spans = [keys_of_day(day) for day in places.closed_days(data_dir)]
    counts = [
        f"(SELECT count(*) FROM like_words WHERE rkey >= {first} AND rkey < {end})" for first, end in spans
    ]
    return number_in(data_dir, f"SELECT {' + '.join(['0', *counts])}")


def number_in(data_dir: Path, query: str) -> int:
    """Return the number that a query of landing.sqlite gives, 0 while there is none."""
    try:
        connection = sqlite3.connect(f"file:{data_dir}/landing.sqlite?mode=ro", uri=True)
        try:
            return int(connection.execute(query).fetchone()[0])
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0


def follow_odd_server(
    data_dir: Path, lines: Sequence[str | bytes], ending: str, expected: int, **settings: str
) -> tuple[Outcome, list[int | None]]:
    """Follow a server whose first two connections end oddly after 25 lines, until ``expected`` likes are stored.

    Returns the outcome, whose ``peak_mb`` is the most memory that ingest held, and the cursors it came with.
    """
    log = data_dir / "ingest.log"
    with LineStream(lines, endings=[ending, ending], lines_per_connection=25) as stream:
        env = commands.environment(data_dir, stream_url=stream.url, stream_start_hours="1000000", **settings)
        with commands.running("ingest", env=env, log=log) as process:
            wait_until(
                lambda: (len(stream.cursors) >= 3 or ending == "open") and _likes(data_dir) == expected, 60
            )
            peak_mb = _peak_mb(process.pid)
            assert commands.stop(process) == 0
        rubbish = stream.rubbish
    records, _ = like_records(data_dir)
    doubled = len(records) - len(set(records))
    states = Counter({"rubbish sent": rubbish})
    missing = expected - len(set(records))
    return Outcome(len(records), missing, doubled, states, told(log), peak_mb=peak_mb), stream.cursors


def _likes(data_dir: Path) -> int:
    return number_in(data_dir, "SELECT count(*) FROM likes")


def _peak_mb(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
