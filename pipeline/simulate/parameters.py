"""The parameters of a simulated world, checked.

Owns: their names, defaults and limits, and the units of time. Leaves to others: what they do to people and posts.
"""

import time
from dataclasses import dataclass, field

from pipeline.errors import SettingError

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
# Events are made slot by slot. Choices are made once per slot; the times of young posts' likes are exact within it.
SLOT_US = 10 * MINUTE_US
SLOTS_A_DAY = DAY_US // SLOT_US

# The share of a person's taste that is their own; the rest is what everybody likes.
CLUSTERING = {"weak": 0.35, "middle": 0.7, "strong": 0.93}


def now_us() -> int:
    """Return the wall clock in microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class WorldParameters:
    """The parameters of a world; equal parameters make equal worlds.

    ``users``: people active in some week, of whom three quarters like something. History covers ``days`` before
    ``end_us``. ``rubbish``: the share of events with a malformed record. ``risers``: the share of the better top-level
    posts that get their likes hours after they were made (``posts``). ``keep_hours``: how long live events stay
    readable after the end of history.
    """

    users: int = 2_000
    days: float = 7.0
    seed: int = 1
    end_us: int = field(default_factory=now_us)
    clustering: str = "middle"
    communities: int = 24
    rubbish: float = 0.001
    risers: float = 0.0
    keep_hours: float = 72.0

    def __post_init__(self) -> None:
        """Raise SettingError for a value outside its limits."""
        _check("users", self.users, 10, 1_000_000)
        _check("days", self.days, 0.01, 400)
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("end", self.end_us, 1_500_000_000_000_000, 4_000_000_000_000_000)
        _check("communities", self.communities, 1, 500)
        _check("rubbish", self.rubbish, 0, 0.5)
        _check("risers", self.risers, 0, 1)
        _check("keep-hours", self.keep_hours, 1, 24 * 400)
        if self.clustering not in CLUSTERING:
            raise SettingError(f"--clustering = {self.clustering!r}: expected one of {', '.join(CLUSTERING)}")

    @property
    def start_us(self) -> int:
        """The time history begins."""
        return self.end_us - int(self.days * DAY_US)


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise SettingError(f"--{name} = {value}: it must be from {least} to {most}")
