"""A part of every history of one like record, told to real stores; ``python tests/record_runs.py`` runs them all."""

import random

import pytest
from record_histories import RecordHistory, all_histories, sequences
from record_runs import run_orders

SHARE = 0.02


@pytest.fixture(scope="module")
def histories() -> list[RecordHistory]:
    choose = random.Random(18)
    return [history for history in all_histories(1, 18) if choose.random() < SHARE]


@pytest.mark.parametrize("order", ["each day", "at the end", "random days"])
def test_readers_see_what_was_told_last_at_every_moment(histories: list[RecordHistory], order: str) -> None:
    """Before each fold, after it, and once landing.sqlite has let go of what is in the lake."""
    assert len(histories) > 2_000
    wrong = run_orders(histories, [order])[order]
    assert not wrong, "\n".join(map(str, wrong[:5]))


def test_histories_told_whole_end_as_they_happened() -> None:
    """The rule against what truly happened: the record as the operations left it."""
    operations = {sequence: sequence[-1].split("+")[-1][2:] for sequence in sequences(4)}
    for number, (sequence, left) in enumerate(operations.items()):
        last = "" if sequence[-1].startswith("account") else left
        gaps = (2_000_000,) * (len(sequence) - 1)
        history = RecordHistory(number, sequence, gaps, 0, "ordinary", frozenset(), "never")
        ledger = history.ledger()
        assert ledger.found == last, history
