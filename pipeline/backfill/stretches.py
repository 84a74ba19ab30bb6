"""What the store lacks, as stretches of stream time.

Owns: which stretches ``--days`` and ``--gaps`` want, and which of them an archive can give. Leaves to others: fetching
and telling what happened in them (``archived_days``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.backfill.archive import Segment
from pipeline.store.archived_words import ARCHIVE_WIRE, StoredPart
from pipeline.store.model import DAY_US, HOUR_US, day_of, first_open_day

MARGIN_US = (
    300_000_000  # more than hosts' clocks differ: a stretch is fetched with this much before and after it
)

ARCHIVE_LAG_US = 2 * HOUR_US  # an archive seals a segment within an hour


class MissingStretch(NamedTuple):
    """A stretch of stream time that is missing; of a gap in the store, or (0) not."""

    from_us: int
    to_us: int
    gap_id: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The stretches to bring and the segments to decode for them, both the newest first."""

    stretches: list[MissingStretch]
    unreached: list[MissingStretch]  # which the archive does not have yet, or not any more
    segments: list[Segment]
    decoded: frozenset[str]  # names of those that an earlier run has decoded

    @property
    def missing(self) -> list[Segment]:
        """The segments that are not decoded yet."""
        return [segment for segment in self.segments if segment.name not in self.decoded]


def missing_of_days(stored: StoredPart, closed: Collection[int], first_day: int) -> list[MissingStretch]:
    """Return what is missing from a day on."""
    first_us = first_day * DAY_US
    found = _missing_inside(stored, closed, first_day)
    if stored.began_us > first_us:
        found.append(MissingStretch(first_us, stored.began_us))
    return _newest_first(found)


def missing_gaps(stored: StoredPart, closed: Collection[int], first_day: int) -> list[MissingStretch]:
    """Return what is missing since the day on which the store begins, of days from one on."""
    found = _missing_inside(stored, closed, first_day)
    midnight_us = day_of(stored.began_us) * DAY_US
    if midnight_us < stored.began_us and day_of(stored.began_us) >= first_day:
        found.append(MissingStretch(midnight_us, stored.began_us))
    return _newest_first(found)


def plan_of(listed: Sequence[Segment], wanted: Sequence[MissingStretch], decoded: Collection[str]) -> Plan:
    """Return what to fetch for some stretches, as far as the archive has them."""
    from_us = min((segment.first_us for segment in listed), default=0)
    reach_us = max((segment.last_us for segment in listed), default=0)
    stretches, unreached = [], []
    for stretch in wanted:
        is_gap = stretch.gap_id != 0
        if (
            stretch.to_us + MARGIN_US > reach_us
            or from_us >= stretch.to_us
            or (is_gap and from_us > stretch.from_us)
        ):
            unreached.append(stretch)
        else:
            stretches.append(stretch._replace(from_us=max(stretch.from_us, from_us)))
    segments = [
        segment
        for segment in listed
        if any(
            segment.last_us >= stretch.from_us - MARGIN_US and segment.first_us < stretch.to_us + MARGIN_US
            for stretch in stretches
        )
    ]
    segments.sort(key=lambda segment: (segment.first_us, segment.name), reverse=True)
    names = {segment.name for segment in segments}
    return Plan(stretches, unreached, segments, frozenset(names.intersection(decoded)))


def as_far_as(
    end_us: int, stretches: Sequence[MissingStretch], stored: StoredPart, first_day: int
) -> list[MissingStretch]:
    """Return what is missing of a store that follows no stream: also what an archive has had since, up to a time."""
    open_ends = {gap.gap_id for gap in stored.gaps if gap.wire == ARCHIVE_WIRE}
    found = [
        stretch._replace(to_us=end_us) if stretch.gap_id in open_ends else stretch for stretch in stretches
    ]
    if not stored.began_us:
        found = [MissingStretch(first_day * DAY_US, end_us)]
    return [stretch for stretch in found if stretch.from_us < stretch.to_us]


def _missing_inside(stored: StoredPart, closed: Collection[int], first_day: int) -> list[MissingStretch]:
    """Return the gaps from a day on, and what was reported since a closed day of which neither store has anything.

    The files of such a day were lost, with words of later days about its records.
    """
    first_us = first_day * DAY_US
    found = [
        MissingStretch(max(gap.from_us, first_us), gap.to_us, gap.gap_id)
        for gap in stored.gaps
        if gap.to_us > first_us
    ]
    if stored.low_us and stored.began_us:
        days = range(max(first_day, -(-stored.began_us // DAY_US)), first_open_day(stored.low_us))
        lost = [day for day in days if day not in closed and day not in stored.landed_days]
        found += [MissingStretch(day * DAY_US, stored.low_us - ARCHIVE_LAG_US) for day in lost[:1]]
    return found


def _newest_first(stretches: list[MissingStretch]) -> list[MissingStretch]:
    return sorted(stretches, key=lambda stretch: stretch.to_us, reverse=True)
