"""How long do neighbours and candidates take for a million viewers, and what do they need?

    python tests/bench/bench_million.py [--actors 4000000] [--likes 100000000] [--days 14] [--viewers 1000000]
        [--dir DIR] [--jobs neighbours,candidates,recent] [--recent 50000]

Makes a store (synthetic_lake.py) unless DIR has one. Sets viewer_active_days so that about --viewers actors are
viewers. Runs each job as a process, as ``foryou batch`` does; "recent" is candidates for --recent viewers with lists
who have just asked for a page. Prints the steps, then one line of JSON.
"""

import json
import sqlite3
import tempfile
from pathlib import Path

from bench_tools import active_days, bring_in, listed, parser_of, run_job
from synthetic_lake import make_store

from sql import places


def main() -> None:
    """Measure, print."""
    parser = parser_of(
        __doc__,
        actors=4_000_000,
        likes=100_000_000,
        days=14,
        viewers=1_000_000,
        recent=50_000,
        jobs="neighbours,candidates,recent",
    )
    parser.add_argument(
        "--ranking", default="", help="further parameters, as in max_neighbours=100,max_seeds=100"
    )
    parser.add_argument("--dir", type=Path, help="keep the data here and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = (options.dir or Path(temporary)).resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / "landing.sqlite").exists():
            make_store(data_dir, actors=options.actors, likes=options.likes, days=options.days)
        parameters = [f"viewer_active_days = {active_days(data_dir, options.viewers)}"]
        parameters += [part.replace("=", " = ") for part in options.ranking.split(",") if part]
        (data_dir / "foryou.toml").write_text("\n".join(["[ranking]", *parameters, ""]))
        answer: dict[str, object] = {"bench": "million", "likes": options.likes, "viewers": options.viewers}
        for job in options.jobs.split(","):
            if job == "recent":
                bring_in(data_dir, listed(data_dir, options.recent))
            seconds, cpu, peak = run_job(data_dir, *(("candidates", job) if job == "recent" else (job,)))
            answer[job] = {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(peak)}
        serving = sqlite3.connect(data_dir / "serving.sqlite")
        for job, tier, step, rows, seconds, peak in serving.execute(
            "SELECT job, tier, step, rows, seconds, peak_mb FROM runs ORDER BY started_us"
        ):
            if seconds > 0.05:
                print(f"{job:<11} {tier:<7} {step:<18} {rows:>13,} rows {seconds:>8.2f} s {peak:>8.0f} MB")
        serving.execute("DELETE FROM runs")
        serving.commit()
        lake = sum(places.likes(data_dir, day).stat().st_size for day in places.closed_days(data_dir))
        answer["lake_mb"] = lake // 1_000_000
        answer["serving_mb"] = (data_dir / "serving.sqlite").stat().st_size // 1_000_000
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
