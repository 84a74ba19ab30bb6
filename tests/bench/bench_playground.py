"""How long does somebody wait for a list with reasons, and for the list of another recipe?

    python tests/bench/bench_playground.py --dir DIR [--people 10] [--moves 8] [--seed 1] [--threads 2]

DIR is a data directory with lists, as bench_million.py leaves it; only lock files are written there. One web app in
this process has its own process for explanations. For people drawn among those with lists: their feed's page
(``/viewer``), their first look at ``/why``, then one slider after another, each until the page's new list is there, as
somebody at this machine and as the public sees it. Without an AppView, so without the posts' texts. Prints a table,
then one line of JSON.
"""

import json
import random
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import duckdb
from bench_tools import cpu_seconds, family, memory_mb, parser_of
from falcon.testing import TestClient
from serving_worlds import ON_PAGES, config_of

from pipeline.store.analyst_snapshot import FEED_NEIGHBOURS, copy_of, current_snapshot
from pipeline.store.duck import parquet
from serving.app import create_app
from serving.pages import explainer

HERE = {"host": "localhost", "remote_addr": "127.0.0.1", "extras": ON_PAGES}
AWAY = {"host": "feed.example.com", "remote_addr": "203.0.113.9"}
SLIDERS = {
    "half_life_hours": (1, 240),
    "like_decay_hours": (1, 24),
    "popularity_exponent": (0, 1),
    "crowd_weight": (0, 5),
    "max_neighbours": (1, 300),
    "max_per_author": (1, 10),
    "author_spacing": (0, 20),
}


def people_of(data_dir: Path, count: int, seed: int) -> list[str]:
    """Return people with lists, drawn at random."""
    snapshot = current_snapshot(data_dir)
    assert snapshot is not None, "there are no lists"
    neighbours = f"read_parquet('{snapshot}/{FEED_NEIGHBOURS}/*/00000-*.parquet')"  # of the full pass
    query = (
        f"SELECT did FROM {parquet(copy_of(snapshot, 'inputs/actors'))} AS a SEMI JOIN "
        f"(FROM {neighbours} WHERE rank = 1) AS n ON n.viewer_id = a.actor_id "
        f"ORDER BY hash(actor_id + {seed}) LIMIT {count}"
    )
    with closing(duckdb.connect()) as connection:
        return [did for (did,) in connection.execute(query).fetchall()]


def main() -> None:
    """Measure, print."""
    parser = parser_of(__doc__, people=10, moves=8, seed=1, threads=2)
    parser.add_argument("--dir", type=Path, required=True)
    options = parser.parse_args()
    data_dir, draw = options.dir.resolve(), random.Random(options.seed)
    command = (sys.executable, "-m", "pipeline.cli", "explain", "--why", "--json", "-")
    settings = ("--data-dir", str(data_dir), "--batch-threads", str(options.threads))
    config = config_of(data_dir, pages="public", explain=(*command, *settings))
    explainer.DEADLINE_SECONDS = 600.0  # what takes too long for a page is to be measured, too
    client = TestClient(create_app(config))
    people = people_of(data_dir, options.people, options.seed)
    answer: dict[str, object] = {"bench": "playground", "people": len(people), "threads": options.threads}
    print(f"{'':<34} {'median s':>9} {'p95 s':>7} {'slowest s':>10} {'CPU s':>7}")

    def page(address: str, where: dict[str, object], **parameters: object) -> tuple[float, float]:
        before, began = _cpu(), time.perf_counter()
        found = client.simulate_get(address, params=parameters, **where)
        took = time.perf_counter() - began
        assert found.status_code == 200, found.text[-2_000:]
        return took, _cpu() - before

    def told(title: str, times: list[tuple[float, float]]) -> None:
        seconds = sorted(took for took, _ in times)
        figures = (
            median(seconds),
            seconds[int(len(seconds) * 0.95)],
            seconds[-1],
            median(cpu for _, cpu in times),
        )
        print(
            f"{title:<34} {figures[0]:>9.3f} {figures[1]:>7.3f} {figures[2]:>10.3f} {figures[3]:>7.2f}",
            flush=True,
        )
        answer[title] = [round(figure, 3) for figure in figures]

    feeds = [page(f"/viewer/{did}", HERE) for did in people for _ in range(3)]
    told("a feed (/viewer)", feeds)
    peak = 0.0
    for who, where in (("at this machine", HERE), ("in public", AWAY)):
        first, moved = [], []
        for did in people:
            first.append(page("/why", where, viewer=did))
            for _ in range(options.moves):
                name = draw.choice(list(SLIDERS))
                least, most = SLIDERS[name]
                value = round(draw.uniform(least, most)) if most > 2 else round(draw.uniform(least, most), 2)
                moved.append(page("/why", where, viewer=did, part="result", **{name: value}))
            peak = max([peak, *(memory_mb(child, "VmHWM") for child in _children())])
        told(f"first look, {who}", first)
        told(f"a slider, {who}", moved)
    print(f"the process for explanations: {peak:.0f} MB at most")
    print(json.dumps(answer | {"peak_mb": round(peak)}))


def _children() -> list[int]:
    return family(_own())[1:]


def _own() -> int:
    return int(Path("/proc/self").resolve().name)


def _cpu() -> float:
    return cpu_seconds(_own())


if __name__ == "__main__":
    main()
