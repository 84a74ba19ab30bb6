"""When events of a simulated relay were seen, while a tenth of its hosts have wrong clocks.

    python tests/bench/bench_clock.py [--hosts N] [--per-second N]

A thousand hosts send events through one relay. A tenth of them are wrong, by seconds to days, ahead or behind. In a
burst, one of these sends its events of a second together. The stream runs for half an hour, at once or after an outage
of thirty hours that is caught up with. The table says how far the time of an event is from the truth, whether a
watermark was ever ahead of the stream, how many events could have been refused, and how fast the clock works.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import orjson
from bench_tools import parser_of
from numpy.typing import NDArray

from pipeline.clock import MachineClock, StreamClock
from pipeline.store.model import first_open_day

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
NOW_US = 1_790_000_000_000_000
CATCH_UP_PER_SECOND = 20_000


def stream(
    hosts: int, per_second: int, behind_hours: float, burst: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return when events were made, what they claim, and which come from a host whose clock is wrong."""
    rng = np.random.default_rng(11)
    seconds = int(behind_hours * 3600) + 1800
    count = seconds * per_second
    true_us = (
        NOW_US - int(behind_hours * HOUR_US) + (np.arange(count) * (1_000_000 / per_second)).astype(np.int64)
    )
    host = rng.integers(0, hosts, count)
    if burst > 1:  # the first events of a second are all one host's, which is a wrong one
        host[np.arange(count) % per_second < burst] = 0
    offset_us = rng.integers(-500_000, 500_000, hosts)
    wrong = np.arange(hosts) < hosts // 10
    size_us = (10 ** rng.uniform(0, np.log10(3 * 86_400), hosts) * 1e6).astype(np.int64)
    offset_us[wrong] = (size_us * rng.choice([-1, 1], hosts))[wrong]
    offset_us[0] = -3 * DAY_US
    return true_us, true_us + offset_us[host], wrong[host]


def run(hosts: int, per_second: int, behind_hours: float, burst: int) -> dict[str, float]:
    """Read a stream a second at a time and compare with the truth."""
    true_us, claims_us, wrong = stream(hosts, per_second, behind_hours, burst)
    moment = [0.0]
    machine = MachineClock(lambda: NOW_US / 1e6 + moment[0], lambda: moment[0])
    clock = StreamClock(int(true_us[0]), 0, machine)
    clock.connected(int(true_us[0]), int(true_us[0]))
    seen_us = np.empty(len(true_us), np.int64)
    done = refused = watermark_ahead = low_ahead = 0
    spent = 0.0
    while done < len(true_us):
        moment[0] += 1
        present = int(np.searchsorted(true_us, NOW_US + int(moment[0] * 1e6), side="right"))
        until = min(present, done + CATCH_UP_PER_SECOND)
        if until == done:
            clock.rest()
            continue
        first_open_us = first_open_day(clock.low_us) * DAY_US
        claims = claims_us[done:until].tolist()
        began = time.perf_counter()
        seen_us[done:until] = clock.when_seen(claims)
        spent += time.perf_counter() - began
        assert not clock.holding
        refused += int(np.count_nonzero(seen_us[done:until] < first_open_us))
        done = until
        watermark_ahead = max(watermark_ahead, clock.watermark_us - int(true_us[done - 1]))
        low_ahead = max(low_ahead, clock.low_us - int(true_us[done - 1]))
    error = np.abs(seen_us - true_us) / 1e6
    p50, p99, most = np.percentile(error, [50, 99, 100])
    return {
        "behind_hours": behind_hours,
        "burst": burst,
        "events": len(true_us),
        "p50_seconds": round(float(p50), 2),
        "p99_seconds": round(float(p99), 2),
        "max_seconds": round(float(most), 1),
        "right_hosts_max_seconds": round(float(error[~wrong].max()), 1),
        "refused": refused,
        "watermark_ahead_seconds": round(watermark_ahead / 1e6, 1),
        "low_ahead_seconds": round(low_ahead / 1e6, 1),
        "events_per_cpu_second": round(len(true_us) / spent),
    }


def main() -> None:
    options = parser_of(__doc__, hosts=1_000, per_second=40).parse_args()
    rows = [
        run(options.hosts, options.per_second, behind_hours, burst)
        for behind_hours in (0.0, 30.0)
        for burst in (1, options.per_second // 8, options.per_second // 3)
    ]
    print("  ".join(rows[0]))
    for row in rows:
        print("  ".join(f"{value:>{len(name)}}" for name, value in row.items()))
    print(orjson.dumps({"rows": rows}).decode())


if __name__ == "__main__":
    main()
