"""Waiting before another try."""

from pipeline.backoff import pause_seconds


def test_pauses_double_up_to_the_limit_however_long_it_goes_on() -> None:
    assert [pause_seconds(failures, 0.5, 30.0) for failures in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause_seconds(100_000, 0.25, 60.0) == 60.0
