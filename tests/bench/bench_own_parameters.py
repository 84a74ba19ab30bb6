"""What do readers cost the batch who set parameters of their own?

    python tests/bench/bench_own_parameters.py [--viewers 1000000] [--actors 4000000] [--likes 100000000] [--days 14]
        [--shares 0,10,100,0] [--every N] [--dir DIR]

Makes a store (synthetic_lake.py) unless DIR has one, and neighbours unless they are there. Then, for each share, that
percentage of the viewers have settings: of each parameter one of the page's positions, drawn at random, or the usual
one as often as not. So all pairs of age and fame are in use. The candidates job makes everybody's first list each
time, as a process, as ``foryou batch`` does. Prints a row per share, with the steps that took longest; last, one line
of JSON.

With ``--every N``, lists are made of one viewer in N, in this process and with one thread: CPU seconds of what differs,
which is from who gets a list to the checks.
"""

import json
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
from bench_tools import active_days, lists_anew, parser_of, run_job
from synthetic_lake import make_store

from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import layers_of
from pipeline.batch.inputs.snapshot import open_snapshot
from pipeline.batch.lists.make_lists import Staging, stage_lists
from pipeline.progress import Progress
from pipeline.ranking import Ranking
from pipeline.store.duck import parquet
from serving.pages.recipe import OWN_CHOICES, read_own
from sql import places
from sql.sqlite import connect, migrate, transaction

LONGEST = 6


def full_pass(data_dir: Path) -> list[Path]:
    """Return the files of everybody's neighbours."""
    return layers_of(places.neighbours(data_dir))[0]


def set_parameters(data_dir: Path, percent: int) -> int:
    """Let a percentage of the viewers with neighbours have parameters of their own; return how many."""
    query = "SELECT DISTINCT viewer_id FROM read_parquet(?) ORDER BY 1"
    viewers = [row[0] for row in duckdb.execute(query, [[*map(str, full_pass(data_dir))]]).fetchall()]
    chance = random.Random(11)
    chosen = set(chance.sample(viewers, len(viewers) * percent // 100))
    with closing(sqlite3.connect(places.landing(data_dir))) as landing:
        dids = [
            did for number, did in landing.execute("SELECT actor_id, did FROM actors") if number in chosen
        ]
    with closing(connect(places.activity(data_dir))) as activity:
        migrate(activity, "activity")
        with transaction(activity):
            activity.execute("DELETE FROM viewer_settings")
            activity.executemany(
                "INSERT INTO viewer_settings VALUES (?, '', 1, 0, ?, 0)",
                ((did, json.dumps({"ranking": _parameters(chance)})) for did in dids),
            )
    return len(dids)


def _parameters(chance: random.Random) -> dict[str, float]:
    texts = {
        choice.name: chance.choice(choice.options[1:])[0] for choice in OWN_CHOICES if chance.random() < 0.5
    }
    return read_own(texts)


def candidates(data_dir: Path) -> dict[str, float]:
    """Make everybody's lists anew; return the figures."""
    found, steps = lists_anew(data_dir)
    longest = sorted(steps, key=lambda step: -steps[step])[:LONGEST]
    return found | {step: round(steps[step], 1) for step in longest}


def within(data_dir: Path, every: int, shares: list[int]) -> Iterator[dict[str, float]]:
    """Make lists of one viewer in so many, for each share; yield the figures."""
    ranking, folder = Ranking(), data_dir / "within"
    for share in shares:
        own = set_parameters(data_dir, share)
        with open_snapshot(
            data_dir, ranking, 1, window_hours=ranking.post_max_age_hours, folder=folder
        ) as snapshot:
            connection = snapshot.connection
            some = f"FROM {parquet(*full_pass(data_dir))} WHERE viewer_id % {every} = 0"
            connection.execute(f"CREATE TABLE neighbours AS {some}")
            for name in sql_steps.BEFORE_CANDIDATES:
                sql_steps.run_file(connection, name)
            staging = Staging(data_dir, folder, 1, 0, Progress("candidates"))
            began = time.process_time()
            sql_steps.run_file(connection, "list_viewers")
            entries = stage_lists(snapshot, ranking, staging)
            seconds = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # so far
        yield {
            "share": share,
            "own": own // every,
            "entries": entries,
            "cpu": round(seconds, 2),
            "peak_mb": round(peak),
        }
    shutil.rmtree(folder)


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__, viewers=1_000_000, actors=4_000_000, likes=100_000_000, days=14, shares="0,10,100,0", every=0
    )
    parser.add_argument("--dir", type=Path, help="keep the store here and use it again")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = (options.dir or Path(temporary)).resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / "landing.sqlite").exists():
            make_store(data_dir, actors=options.actors, likes=options.likes, days=options.days)
        active = active_days(data_dir, options.viewers)
        (data_dir / "foryou.toml").write_text(f"[ranking]\nviewer_active_days = {active}\n")
        if not places.neighbours(data_dir).exists():
            run_job(data_dir, "neighbours")
        shares = [int(share) for share in options.shares.split(",")]
        for row in within(data_dir, options.every, shares) if options.every else ():
            rows.append(row)
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        for share in () if options.every else shares:
            own = set_parameters(data_dir, share)
            rows.append({"share": share, "own": own} | candidates(data_dir))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({"bench": "own_parameters", "viewers": options.viewers, "rows": rows}))


if __name__ == "__main__":
    main()
