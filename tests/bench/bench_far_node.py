"""What does the engine lose when its node is far from its head?

    python tests/bench/bench_far_node.py [--likes 3000000] [--actors 60000] [--days 14] [--block 2000]
        [--range-mb 200] [--delays 0,25,100] [--mbit 100] [--dir DIR]

Runs neighbours and candidates in one process, then on a cluster of Ray whose head, and the run, are in one network
namespace, and the node that does all tasks in another, with so many milliseconds each way between them and so many
megabits a second. Prints the seconds, the bytes that went over the link, and whether neighbours and lists are equal to
those of one process. Both folders are on this disk: parts do not go over the link. Needs root and the extra ``ray``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_engine import JOBS, results, run, with_limits
from bench_tools import ROOT, parser_of
from long_link import ADDRESSES, LongLink
from streams import wait_until
from synthetic_lake import make_store

PORT = 6379
NODES = ("--head", "--num-cpus=0", f"--port={PORT}"), (f"--address={ADDRESSES[0]}:{PORT}", "--num-cpus=2")


@contextmanager
def cluster(link: LongLink, folder: Path) -> Iterator[None]:
    """Run a head at one end of a link and a node at the other."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    ray = Path(sys.executable).with_name("ray")
    started = []
    try:
        for end, (address, arguments) in enumerate(zip(ADDRESSES, NODES, strict=True)):
            command = [*link.at(end), ray, "start", "--block", f"--node-ip-address={address}", *arguments]
            if end == 0:
                command += [f"--temp-dir={folder}", "--include-dashboard=false"]
            with (folder / f"node-{end}.txt").open("w") as output:
                process = subprocess.Popen(
                    command, env=environment, stdout=output, stderr=output, start_new_session=True
                )
            started.append(process)
            if end == 0:
                look = [*link.at(0), ray, "health-check", f"--address={address}:{PORT}"]
                wait_until(
                    lambda look=look: (
                        subprocess.run(look, env=environment, capture_output=True).returncode == 0
                    )
                )
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__,
        likes=3_000_000,
        actors=60_000,
        days=14,
        block=2_000,
        range_mb=200,
        delays="0,25,100",
        mbit=100.0,
    )
    parser.add_argument("--dir", type=Path, help="keep the store here and use it again")
    options = parser.parse_args()
    answer: dict[str, object] = {"bench": "far node", "likes": options.likes, "mbit": options.mbit}
    with tempfile.TemporaryDirectory() as temporary:
        store, data_dir = (options.dir or Path(temporary)) / "store", Path(temporary) / "run"
        if not store.exists():
            store.mkdir(parents=True)
            make_store(store, actors=options.actors, likes=options.likes, days=options.days)
        with_limits(store, options.block, options.range_mb)
        shutil.copytree(store, data_dir)
        for job in JOBS:
            answer[job] = run(data_dir, job, "--batch-threads", "1")
            print(f"one process  {job:<11} {answer[job]}", flush=True)
        expected = results(data_dir)
        for delay in map(int, options.delays.split(",")):
            shutil.rmtree(data_dir)
            shutil.copytree(store, data_dir)
            folder = Path(temporary) / f"ray-{delay}"
            folder.mkdir()
            with LongLink(delay / 1000, options.mbit * 1e6) as link, cluster(link, folder):
                for job in JOBS:
                    before = list(link.carried)
                    at = ("--engine", "ray", "--engine-address", f"{ADDRESSES[0]}:{PORT}")
                    found = run(data_dir, job, *at, "--batch-threads", "2", within=link.at(0))
                    back, there = (now - then for now, then in zip(link.carried, before, strict=True))
                    seconds = {"seconds": found["seconds"], "bytes_there": there, "bytes_back": back}
                    answer[f"{delay} ms {job}"] = seconds
                    print(f"{delay:>6} ms    {job:<11} {seconds}", flush=True)
            equal = results(data_dir) == expected
            answer[f"{delay} ms equal"] = equal
            print(f"{delay:>6} ms    equal: {equal}", flush=True)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
