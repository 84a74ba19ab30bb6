"""What does the forecast cost a run for everybody, learning from two weeks included?

    python tests/bench/bench_forecast.py --dir DIR [--turns 2]

DIR has a store with everybody's neighbours (bench_million.py --dir DIR --jobs neighbours, or bench_soak.py --dir DIR).
Everybody's lists are made anew by turns without the forecast (forecast_weight = 0) and with it, --turns times each.
Before each run with it the lake gets two weeks of hourly moments, 1,000 posts each, and trees of the day before, so
that the run foresees, remembers and learns; what the figures in them say is made up, their number is not. Prints a
line a run, the medians, and one line of JSON.
"""

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_tools import lists_anew, number, parser_of

from pipeline.batch.forecast.history import table_of
from pipeline.batch.forecast.learning import INPUTS, KEPT_DAYS, Moment, learned
from pipeline.store.model import DAY_US, HOUR_US
from sql import places

FEED = "for-you"
POSTS = 1_000  # a moment
STEPS = ("forecast_inputs", "forecast", "crowd_shares", "remember", "learn")


def write_past(data_dir: Path) -> None:
    """Write two weeks of moments, and trees that are due to be learned again."""
    chance = np.random.default_rng(1)
    now_us = number(data_dir, "landing", "SELECT seen_us FROM watermark")
    times = now_us - np.arange(KEPT_DAYS * 24 - 1, 6, -1) * HOUR_US
    rows = chance.lognormal(0.0, 2.0, (len(times), POSTS, len(INPUTS)))
    hour, half_hour, age = (rows[:, :, INPUTS.index(name)] for name in ("share_1h", "share_30m", "age_hours"))
    expected = hour / (1.0 + age)
    liked = chance.poisson(50.0 * expected / expected.mean())
    crowd = half_hour / half_hour.sum(axis=1, keepdims=True)
    trees = learned(
        [Moment(*each) for each in zip(rows[:48], liked[:48].astype(float), crowd[:48], strict=True)]
    )
    assert trees is not None
    pq.write_table(table_of(trees, now_us - 2 * DAY_US), places.forecast_trees(data_dir, FEED))
    table = pa.table(
        {
            "moment_us": np.repeat(times, POSTS),
            "author_id": pa.array(np.tile(np.arange(POSTS), len(times)), pa.int32()),
            "rkey": np.tile(np.arange(POSTS), len(times)),
            "now": pa.array(crowd.ravel(), pa.float32()),
            "liked": liked.ravel(),
            "inputs": list(rows.reshape(-1, len(INPUTS)).astype(np.float32)),
        }
    )
    pq.write_table(table, places.forecast_moments(data_dir, FEED))


def run(data_dir: Path, parameters: str, *, with_forecast: bool) -> dict[str, Any]:
    """Make everybody's lists anew; return the figures."""
    weight = "" if with_forecast else "forecast_weight = 0\n"
    (data_dir / "foryou.toml").write_text(parameters + weight)
    if with_forecast:
        write_past(data_dir)
    found, steps = lists_anew(data_dir)
    assert bool(steps.get("learn")) == with_forecast, steps
    return found | {step: round(steps.get(step, 0.0), 2) for step in STEPS}


def main() -> None:
    """Measure, print."""
    parser = parser_of(__doc__, turns=2)
    parser.add_argument("--dir", type=Path, required=True, help="the store")
    options = parser.parse_args()
    data_dir = options.dir.resolve()
    config = data_dir / "foryou.toml"
    text = config.read_text() if config.exists() else "[ranking]\n"
    parameters = re.sub(r"(?m)^forecast_weight.*\n", "", text)
    found: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    try:
        for _ in range(options.turns):
            for name, rows in found.items():
                rows.append(run(data_dir, parameters, with_forecast=name == "with"))
                print(
                    f"{name:<8}", "  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True
                )
    finally:
        config.write_text(parameters)
    middle = {
        name: {key: median(row[key] for row in rows) for key in ("seconds", "cpu", "peak_mb", *STEPS)}
        for name, rows in found.items()
    }
    for key in ("seconds", "cpu"):
        print(f"{key}: {middle['with'][key] / middle['without'][key]:.3f} times as many with the forecast")
    print(json.dumps({"bench": "forecast", "runs": found, "median": middle}))


if __name__ == "__main__":
    main()
