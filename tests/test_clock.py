"""What time it is when hosts, a burst of events or this machine say something else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.clock import AROUND, QUIET_SECONDS, SKEW_US, MachineClock, StreamClock

NOW_US = 1_790_000_000_000_000
SECOND_US, MINUTE_US, HOUR_US, DAY_US = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
OFFSETS_US = [2 * MINUTE_US + SECOND_US, 2 * HOUR_US, 3 * DAY_US, 100 * DAY_US, 50 * 365 * DAY_US]
BOTH_WAYS = [sign * offset for offset in OFFSETS_US for sign in (1, -1)]


class Hands:
    """This machine's clock, as a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.set_by = 0.0

    def machine(self) -> MachineClock:
        return MachineClock(lambda: NOW_US / 1e6 + self.seconds - 1_000.0 + self.set_by, lambda: self.seconds)


@dataclass
class Read:
    """A stream as it was read: what is true of each event, and what the clock made of it."""

    clock: StreamClock
    true_us: NDArray[np.int64]
    seen_us: NDArray[np.int64]
    watermark_ahead_us: int
    low_ahead_us: int

    def error_us(self, which: NDArray[np.bool_]) -> int:
        return int(np.abs(self.seen_us - self.true_us)[which].max(initial=0))


def read(
    claims: NDArray[np.int64], true_us: NDArray[np.int64], events_a_second: int, hands: Hands | None = None
) -> Read:
    """Read a stream a second at a time, never ahead of the truth; so many events at most in one go."""
    hands = hands or Hands()
    first_us = int(true_us[0])
    clock = StreamClock(first_us, 0, hands.machine())
    clock.connected(first_us, first_us)
    seen, done, watermark_ahead, low_ahead = [], 0, 0, 0
    while done < len(claims):
        hands.seconds += 1
        now_us = NOW_US + int((hands.seconds - 1_000) * 1e6)
        until = min(int(np.searchsorted(true_us, now_us, side="right")), done + events_a_second)
        if until == done:
            clock.rest()
            continue
        seen += clock.when_seen(claims[done:until].tolist())
        assert not clock.holding
        done = until
        watermark_ahead = max(watermark_ahead, clock.watermark_us - int(true_us[done - 1]))
        low_ahead = max(low_ahead, clock.low_us - int(true_us[done - 1]))
    return Read(clock, true_us, np.array(seen, np.int64), watermark_ahead, low_ahead)


def times(first_us: int, events: int, apart_us: int) -> NDArray[np.int64]:
    return first_us + np.arange(events, dtype=np.int64) * apart_us


LIVE = times(NOW_US, 12_000, 2_500)  # 400 events a second, for half a minute
CATCH_UP = times(NOW_US - 30 * HOUR_US, 108_000, SECOND_US)
SLOW = times(NOW_US, 400, 5 * SECOND_US)

Pick = Callable[[int], NDArray[np.bool_]]


def bursts(size: int, every: int, first: int = 0) -> Pick:
    return lambda events: (np.arange(events) + every - first) % every < size


def share(part: float) -> Pick:
    return lambda events: np.random.default_rng(7).random(events) < part


LIARS = {
    "one": lambda events: np.arange(events) == events // 2,
    "the first": lambda events: np.arange(events) == 0,
    "fifty in one burst": bursts(50, 400, 17),
    "four hundred in one burst": bursts(400, 4_000, 1_000),
    "one in five": share(0.2),
    "two in five": share(0.4),
}


@pytest.mark.parametrize("off_us", BOTH_WAYS)
@pytest.mark.parametrize("liars", LIARS)
@pytest.mark.parametrize(("stream", "speed"), [("live", 400), ("catch-up", 20_000)])
def test_a_minority_of_wrong_clocks_moves_nobody_else(
    stream: str, speed: int, liars: str, off_us: int
) -> None:
    true_us = LIVE if stream == "live" else CATCH_UP
    lying = LIARS[liars](len(true_us))
    claims = np.where(lying, np.maximum(true_us + off_us, 0), true_us)
    found = read(claims, true_us, speed)
    neighbourhood_us = AROUND * int(true_us[1] - true_us[0])
    assert found.error_us(~lying) <= neighbourhood_us
    assert np.mean(found.seen_us[~lying] != true_us[~lying]) < 0.1
    assert found.watermark_ahead_us <= 0 and found.low_ahead_us <= 0
    assert true_us[-1] - found.clock.watermark_us <= 2 * neighbourhood_us


@pytest.mark.parametrize("size", [1, 50, 400])
def test_who_claims_now_while_the_stream_is_a_day_behind_moves_nobody(size: int) -> None:
    lying = bursts(size, 10 * size, 5)(len(CATCH_UP))
    found = read(np.where(lying, NOW_US, CATCH_UP), CATCH_UP, 20_000)
    assert found.error_us(~lying) <= AROUND * SECOND_US
    assert found.watermark_ahead_us <= 0 and found.low_ahead_us <= 0


def test_honest_events_are_seen_when_they_say_however_slow_or_old_the_stream() -> None:
    for true_us in (SLOW, times(NOW_US - 60 * HOUR_US, 20_000, 10 * SECOND_US)):
        everybody = np.ones(len(true_us), np.bool_)
        assert read(true_us, true_us, 50_000).error_us(everybody) == 0


def test_the_low_watermark_is_behind_nearly_all_of_thousands_of_events() -> None:
    found = read(LIVE, LIVE, 400)
    newest_us = int(LIVE[-1])
    assert 1_700 * 2_500 <= newest_us - found.clock.low_us <= 4_000 * 2_500
    assert read(SLOW, SLOW, 400).clock.low_us == 0  # too few events to decide anything by


def hold(clock: StreamClock, claims: Sequence[int]) -> bool:
    before = clock.watermark_us, clock.low_us
    clock.when_seen(claims)
    assert not clock.holding or (clock.watermark_us, clock.low_us) == before
    return clock.holding


@pytest.mark.parametrize("behind_us", [3 * MINUTE_US, 3 * HOUR_US, 30 * HOUR_US, 365 * DAY_US])
def test_when_the_stream_is_ahead_of_this_machine_nothing_goes_on(behind_us: int) -> None:
    hands = Hands()
    hands.set_by = -behind_us / 1e6
    clock = StreamClock(NOW_US - HOUR_US, 0, hands.machine())
    clock.connected(NOW_US - HOUR_US, NOW_US - HOUR_US)
    assert hold(clock, times(NOW_US, 400, 2_500).tolist())
    hands.seconds += 30
    assert hold(clock, times(NOW_US + 30 * SECOND_US, 400, 2_500).tolist())
    hands.set_by = 0.0
    hands.seconds += 30
    assert not hold(clock, times(NOW_US + 55 * SECOND_US, 400, 2_500).tolist())


@pytest.mark.parametrize("step_seconds", [3 * 3600.0, -3 * 3600.0, 365 * 86_400.0])
def test_a_clock_that_is_set_while_the_stream_runs(step_seconds: float) -> None:
    """Set ahead, it bounds nothing too early; set back, the stream is ahead of it."""
    hands = Hands()
    clock = StreamClock(NOW_US, 0, hands.machine())
    clock.connected(NOW_US, NOW_US)
    for second in range(60):
        hands.seconds += 1
        assert not hold(clock, times(NOW_US + second * SECOND_US, 50, 20_000).tolist())
    hands.set_by = step_seconds
    hands.seconds += 1
    at_us = NOW_US + 60 * SECOND_US
    assert hold(clock, times(at_us, 50, 20_000).tolist()) == (step_seconds < 0)
    if step_seconds > 0:
        assert clock.watermark_us <= at_us + SECOND_US


def test_a_single_liar_is_outvoted_by_the_first_honest_event() -> None:
    clock = StreamClock(NOW_US, 0, Hands().machine())
    clock.connected(NOW_US, NOW_US)
    assert hold(clock, [NOW_US + 3 * DAY_US])  # two words against each other: nothing is decided
    assert clock.when_seen([NOW_US + 3 * DAY_US, NOW_US]) == [NOW_US, NOW_US]
    assert not clock.holding


def test_the_watermark_follows_a_stream_that_has_nothing_more_to_say() -> None:
    hands = Hands()
    clock = StreamClock(0, 0, hands.machine())
    clock.connected(0, 0)
    old_us = NOW_US - 5 * HOUR_US
    assert clock.when_seen([old_us, old_us + 1]) == [old_us, old_us + 1]
    assert clock.watermark_us == 0
    hands.seconds += QUIET_SECONDS
    clock.rest()
    assert clock.watermark_us == clock.reached_us == old_us + 1


def test_a_connection_that_ends_is_as_far_as_most_of_its_last_events() -> None:
    clock = StreamClock(0, 0, Hands().machine())
    clock.connected(0, 0)
    old_us = NOW_US - 30 * HOUR_US
    clock.when_seen([*times(old_us, 11, SECOND_US).tolist(), NOW_US])
    clock.ended()
    assert old_us < clock.reached_us <= old_us + 10 * SECOND_US


def test_a_connection_that_ends_while_the_stream_is_of_now_is_as_far_as_its_last_event() -> None:
    clock = StreamClock(0, 0, Hands().machine())
    clock.connected(0, 0)
    claims = times(NOW_US - 20 * SECOND_US, 11, SECOND_US).tolist()
    clock.when_seen(claims)
    clock.ended()
    assert clock.reached_us == clock.watermark_us == claims[-1]


def test_an_event_of_a_connection_that_goes_on_is_not_from_before_it() -> None:
    clock = StreamClock(NOW_US, 0, Hands().machine())
    clock.connected(NOW_US - MINUTE_US, NOW_US - MINUTE_US)
    assert clock.when_seen([NOW_US - 3 * DAY_US]) == [NOW_US - MINUTE_US]
    clock.connected(0, 0)  # by another host's cursor: anything may come again
    assert clock.when_seen([NOW_US - 3 * DAY_US]) == [NOW_US - 3 * DAY_US]


def test_clocks_of_hosts_may_differ_a_little() -> None:
    """A thousand hosts, off by up to a minute: each is believed."""
    rng = np.random.default_rng(3)
    claims = LIVE + rng.integers(-SKEW_US // 3, SKEW_US // 3, 1_000)[rng.integers(0, 1_000, len(LIVE))]
    found = read(claims, LIVE, 400)
    assert (found.seen_us == claims).mean() > 0.999


def test_small_steps_of_this_machine_count_together() -> None:
    hands = Hands()
    machine = hands.machine()
    assert machine.step_seconds() == 0
    for _ in range(3):
        hands.set_by += 50.0
        hands.seconds += 1
    assert machine.step_seconds() == pytest.approx(150.0)
    assert machine.step_seconds() == 0


@pytest.mark.parametrize("spread_us", [SECOND_US, SKEW_US, 2 * SKEW_US, 4 * SKEW_US])
@pytest.mark.parametrize("floor_us", [0, NOW_US - HOUR_US])
def test_where_all_claims_agree_none_has_to_be_compared(spread_us: int, floor_us: int) -> None:
    class Comparing(StreamClock):
        def _all_agree(self, *_: object) -> bool:
            return False

    random = np.random.default_rng(spread_us + floor_us)
    quick, comparing = StreamClock(0, 0, Hands().machine()), Comparing(0, 0, Hands().machine())
    agreed, first_us = 0, NOW_US - HOUR_US
    for clock in (quick, comparing):
        clock.connected(floor_us, floor_us)
    for _ in range(300):
        size = int(random.choice([1, 14, 15, 16, 300, 1_500]))
        first_us += int(random.integers(SECOND_US))
        claims = first_us + random.integers(-spread_us, spread_us, size) // 2
        agreed += quick._all_agree(np.concatenate([quick._claims, claims]), claims, claims < 0)
        assert quick.when_seen(claims.tolist()) == comparing.when_seen(claims.tolist())
        assert (quick.corrected, quick.first_us) == (comparing.corrected, comparing.first_us)
    assert (agreed > 100) == (spread_us == SECOND_US)  # else the test compares nothing
