"""When an event of a relay is seen, whatever time its PDS wrote in it."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ingest.stream_clock import AHEAD_US, StreamClock
from pipeline.store.model import CLOCK_SKEW_US, DAY_US, HOUR_US

NOW_US = 1_790_000_000_000_000


class Hands:
    """A clock's hands that a test moves."""

    def __init__(self) -> None:
        self.moment = 1_000.0

    def clock(self, resumed_us: int = 0) -> StreamClock:
        return StreamClock(resumed_us, monotonic=lambda: self.moment, now=lambda: NOW_US / 1e6)


@settings(deadline=None)
@given(
    start_us=st.integers(NOW_US - 3 * DAY_US, NOW_US - HOUR_US),
    forged=st.lists(st.tuples(st.integers(0, 499), st.integers(-400 * DAY_US, 400 * DAY_US)), max_size=60),
    seed=st.integers(0, 2**32),
)
def test_a_minority_of_wrong_clocks_moves_nothing(
    start_us: int, forged: list[tuple[int, int]], seed: int
) -> None:
    """Sixty of five hundred events at most, and not most of those next to each other."""
    choose = random.Random(seed)
    clock = Hands().clock(start_us)
    wrong = {place: off for place, off in forged if place >= 5}
    bursts = [place for place in wrong if sum(other in wrong for other in range(place - 4, place + 5)) > 3]
    for place in bursts:
        wrong.pop(place, None)
    for number in range(500):
        true_us = start_us + number * 3_000
        seen_us = clock.seen_us(true_us + wrong.get(number, choose.randint(-900_000, 900_000)))
        assert abs(seen_us - true_us) <= CLOCK_SKEW_US + 2_000_000


def test_nothing_is_seen_later_than_now() -> None:
    clock = Hands().clock()
    for _ in range(100):
        assert clock.seen_us(NOW_US + 30 * DAY_US) <= NOW_US + AHEAD_US


def test_an_honest_event_is_seen_when_it_says_also_after_a_jump_and_a_pause() -> None:
    hands = Hands()
    clock = hands.clock(NOW_US - DAY_US)
    assert clock.seen_us(NOW_US - HOUR_US) == NOW_US - HOUR_US  # the host had nothing of a day
    for number in range(200):
        assert clock.seen_us(NOW_US - HOUR_US + number) == NOW_US - HOUR_US + number
    hands.moment += 3_000.0  # as quiet as an event an hour
    assert clock.seen_us(NOW_US) == NOW_US


def test_who_comes_back_after_hours_is_heard_now() -> None:
    clock = Hands().clock(NOW_US)
    assert clock.seen_us(NOW_US - 5 * HOUR_US) == NOW_US  # the first one of a connection as well
    for number in range(20):
        clock.seen_us(NOW_US + number)
    assert abs(clock.seen_us(NOW_US - 5 * HOUR_US) - NOW_US) < 100


def test_most_of_the_stream_is_right_in_the_end() -> None:
    """A stream that goes on elsewhere is followed once most of the last events say so."""
    clock = Hands().clock()
    for number in range(100):
        clock.seen_us(NOW_US - 2 * HOUR_US + number)
    seen = [clock.seen_us(NOW_US - HOUR_US + number) for number in range(100)]
    assert seen[0] < NOW_US - HOUR_US
    assert seen[60] == NOW_US - HOUR_US + 60
