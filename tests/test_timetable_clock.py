"""The timetable on a machine whose clock is set, by libfaketime: every job is due at once, not hours later."""

from pathlib import Path

import commands
import pytest
from streams import wait_until
from test_lying_clocks import FAKETIME, faked_by, old_store


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("step", ["+3h", "-3h", "+1y", "-1y"])
def test_the_timetable_goes_on_when_the_clock_is_set(step: str, tmp_path: Path) -> None:
    data_dir, hands, log = tmp_path / "data", tmp_path / "hands", tmp_path / "log"
    hands.write_text("+0")
    old_store(data_dir)
    env = commands.environment(
        data_dir, candidates_minutes="0.1", everybody_minutes="0.1", compact_minutes="60"
    )
    env |= faked_by(hands)

    def runs() -> int:
        return log.read_text().count("batch: candidates: ") if log.exists() else 0

    with commands.running("schedule", env=env, log=log) as process:
        wait_until(lambda: runs() >= 1)
        hands.write_text(step)
        wait_until(lambda: "this machine's clock was set" in log.read_text())
        before = runs()
        wait_until(lambda: runs() > before)
        assert commands.stop(process) == 0
