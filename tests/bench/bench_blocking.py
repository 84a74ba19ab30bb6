"""What do the operator's rules cost: for each post that comes in, for each page, when they change, and in the batch?

    python tests/bench/bench_blocking.py [--words 1000] [--accounts 50000] [--pages 3000] [--users 2000]

Posts are a simulated day's, read through Jetstream's wire without rules and with --words words, 100 domains and 100
hashtags. Pages are 31 posts of 60,000 authors, looked up with no rules, with 100 blocked accounts, and with --accounts.
The batch makes the lists of --users simulated people without rules and with --accounts blocked accounts, a tenth of
the authors there among them. Prints a table and, last, one line of JSON.
"""

import json
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import commands
from bench_tools import parser_of, run_job
from serving_worlds import plc_did

from pipeline.blocking.rules import BLOCK, Rule
from pipeline.blocking.text_rules import TextCheck, check_of
from pipeline.identifiers import tid_at
from pipeline.ingest import jetstream
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.store.events import EventBatch, Post
from pipeline.store.landing import Landing
from pipeline.store.operator_rules import OperatorRules, RuledNames
from serving.lists.removed_posts import RemovedPosts
from sql import places
from sql.sqlite import connect

END_US, ROUNDS, GROUP = 1_783_036_800_000_000, 5, 1_500
AUTHORS, PAGE = 60_000, 31


def decoding_seconds(lines: list[bytes], check: TextCheck | None) -> float:
    """Return the processor time of reading all lines, the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for start in range(0, len(lines), GROUP):
            jetstream.decode(lines[start : start + GROUP], EventBatch(blocks=check))
        rounds.append(time.process_time() - began)
    return median(rounds)


def of_posts(words: int) -> dict[str, float]:
    """Return what rules about texts cost a post."""
    lines = list(World(WorldParameters(users=3_000, days=1, seed=5, end_us=END_US)).lines())
    posts = sum(b'app.bsky.feed.post"' in line and b'"record"' in line for line in lines)
    rules = [Rule(BLOCK, "word", f"word{number}") for number in range(words)]
    rules += [Rule(BLOCK, "domain", f"d{number}.example") for number in range(100)]
    rules += [Rule(BLOCK, "hashtag", f"tag{number}") for number in range(100)]
    without, with_rules = decoding_seconds(lines, None), decoding_seconds(lines, check_of(rules))
    return {
        "us_an_event_without": without / len(lines) * 1e6,
        "us_an_event_with": with_rules / len(lines) * 1e6,
        "us_more_a_post": (with_rules - without) / posts * 1e6,
    }


def of_pages(folder: Path, many: int, pages: int) -> dict[str, float]:
    """Return what rules about accounts cost a page, and bringing them into force."""
    now_us = int(time.time() * 1e6)
    dids = [plc_did(number) for number in range(AUTHORS)]
    landing = Landing(folder)
    made = [
        Post(did, tid_at(now_us - i), now_us, now_us, 0, "", tid_at(now_us)) for i, did in enumerate(dids)
    ]
    landing.append(EventBatch(posts=made, newest_us=now_us, low_us=now_us), "host", "wire")
    numbers = dict(landing.connection.execute("SELECT did, actor_id FROM actors"))
    landing.close()
    posts = [(numbers[post.author], post.rkey) for post in made]
    found: dict[str, float] = {}
    for count in (0, 100, many):
        if count:
            with closing(OperatorRules(folder)) as stored:
                began = time.perf_counter()
                stored.replace(str(count), RuledNames(dict.fromkeys(dids[:count], True), {}))
                found[f"seconds_to_bring_{count}_into_force"] = time.perf_counter() - began
        reader, choose, times = RemovedPosts(places.removals(folder)), random.Random(1), []
        for _ in range(pages):
            page = choose.sample(posts, PAGE)
            began = time.thread_time()  # by the clock, a busy machine's pages wait for a core
            reader.withheld_among(page)
            times.append(time.thread_time() - began)
        found[f"us_a_page_with_{count}"] = median(times) * 1e6
        found[f"us_a_page_with_{count}_p99"] = sorted(times)[int(len(times) * 0.99)] * 1e6
    return found


def of_batch(folder: Path, many: int, users: int) -> dict[str, float]:
    """Return processor seconds and memory of the candidates job without rules and with so many blocked accounts."""
    data_dir, lines = folder / "data", folder / "lines.jsonl"
    env = commands.environment(data_dir)
    simulate = ("--users", str(users), "--days", "4", "--write", str(lines))
    for arguments in (("simulate", *simulate), ("backfill", "--file", str(lines))):
        done = commands.run(*arguments, env=env, seconds=900)
        assert done.returncode == 0, done.stderr
    (data_dir / "foryou.toml").touch()
    run_job(data_dir, "all")
    runs = {"without": [run_job(data_dir, "candidates") for _ in range(ROUNDS)]}
    with closing(connect(places.landing(data_dir), read_only=True)) as landing:
        authors = landing.execute(
            "SELECT DISTINCT did FROM posts JOIN actors ON actor_id = author_id"
        ).fetchall()
    blocked = [did for (did,) in authors[::10]]
    blocked += [plc_did(number) for number in range(many - len(blocked))]
    places.rules(data_dir).write_text("".join(f"block account {did}\n" for did in blocked))
    runs["with"] = [run_job(data_dir, "candidates") for _ in range(ROUNDS)]
    names = ("seconds", "cpu_seconds", "mb")
    return {
        f"candidates_{kind}_{name}": median(run[place] for run in found)
        for kind, found in runs.items()
        for place, name in enumerate(names)
    }


def main() -> None:
    """Measure and print."""
    options = parser_of(__doc__, words=1000, accounts=50_000, pages=3000, users=2_000).parse_args()
    figures = of_posts(options.words)
    with tempfile.TemporaryDirectory() as folder:
        figures |= of_pages(Path(folder), options.accounts, options.pages)
    with tempfile.TemporaryDirectory() as folder:
        figures |= of_batch(Path(folder), options.accounts, options.users)
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<44}{value:10.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
