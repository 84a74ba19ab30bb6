"""What a file's column of times means: in which unit it counts, or in which form it is written.

Owns: ``times_in_us``, which says what it found. Leaves to others: which column it is (``event_columns``), reading the
file (``event_files``).

Numbers count from 1970, and dates of this age say in which unit: as seconds, milliseconds, microseconds and
nanoseconds they lie a factor of a thousand apart. Numbers that count from another beginning are in the unit that the
column's name ends in. Nothing is guessed beyond that: the error says what to state.
"""

import re
from datetime import UTC, datetime

import polars as pl

from pipeline.evaluate.like_events import EvaluateError

UNITS = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
NAME_ENDS = re.compile(r"(?:_|(?<=[a-z])(?=[A-Z]))(s|sec|secs|seconds|ms|millis|us|micros|ns|nanos)$")
FROM_US, TO_US = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for year in (1990, 2100))
NEARLY_ALL = 0.99
# ISO 8601 with and without a zone, with T or a space; then as MIND writes times; then as Americans and Europeans do.
FORMS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y",
)  # fmt: skip


def times_in_us(times: pl.Series, name: str, unit: str | None = None) -> tuple[pl.Series, str]:
    """Return microseconds since 1970, null where a value is no time, and what the column holds, in words.

    ``unit`` is what the person at the command line states. Raises EvaluateError when the unit can't be known.
    """
    if times.dtype.is_temporal():
        return _of_dates(times, name)
    if times.dtype == pl.String:
        numbers = times.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.count() < NEARLY_ALL * times.count():
            return _of_text(times, name)
        times = numbers
    if not times.dtype.is_numeric():
        raise EvaluateError(f"column {name!r} holds {times.dtype}: not numbers, dates or texts of times")
    return _of_numbers(times, name, unit)


def _of_numbers(times: pl.Series, name: str, stated: str | None) -> tuple[pl.Series, str]:
    count = max(times.count(), 1)
    shares = {
        unit: int(times.is_between(FROM_US / size, TO_US / size).sum()) / count
        for unit, size in UNITS.items()
    }
    likely = max(shares, key=lambda unit: shares[unit])
    named = _unit_of_name(name)
    since = "since 1970, UTC"
    if stated is not None:
        unit, said = stated, f"{WORDS[stated]}, as stated"
        if shares[likely] >= NEARLY_ALL and likely != stated:
            said += f", although they look like {WORDS[likely]} {since}"
    elif shares[likely] >= NEARLY_ALL:
        unit, said = likely, f"{WORDS[likely]} {since}"
        if named is not None and named != likely:
            said += f", whatever its name says: in {WORDS[named]} they would be of {_year(times, named)}"
        times = times.set(~times.is_between(FROM_US / UNITS[unit], TO_US / UNITS[unit]), None)
    elif shares[likely] > 0 and sum(shares.values()) >= NEARLY_ALL:
        mixed = ", ".join(f"{share:.0%} {WORDS[unit]}" for unit, share in shares.items() if share > 0)
        raise EvaluateError(f"column {name!r} mixes units: {mixed} since 1970; write all times in one unit")
    elif named is not None:
        unit, said = named, f"{WORDS[named]}, as its name says, from a beginning other than 1970"
    else:
        low, high = times.drop_nulls().cast(pl.Float64).sort()[[0, -1]] if times.count() else (0.0, 0.0)
        raise EvaluateError(
            f"column {name!r} holds numbers from {low:g} to {high:g}, which are no times since 1970 in any "
            f"usual unit; state the unit: --time-unit, one of {', '.join(UNITS)}"
        )
    if times.dtype.is_integer() and unit != "ns":
        return times.cast(pl.Int64) * int(UNITS[unit]), said
    return (times.cast(pl.Float64) * UNITS[unit]).round().cast(pl.Int64, strict=False), said


def _unit_of_name(name: str) -> str | None:
    found = NAME_ENDS.search(name)
    return None if found is None else next(u for u in ("ms", "us", "ns", "s") if _short(found[1]) == u)


def _short(word: str) -> str:
    return {"sec": "s", "secs": "s", "seconds": "s", "millis": "ms", "micros": "us", "nanos": "ns"}.get(
        word, word
    )


def _year(times: pl.Series, unit: str) -> str:
    """Return the year of the middle time in a unit."""
    middle = times.drop_nulls().cast(pl.Float64).median()
    year = 1970 + float(str(middle)) * UNITS[unit] / (365.2425 * 86_400e6)
    return f"the year {year:.0f}"


def _of_dates(times: pl.Series, name: str) -> tuple[pl.Series, str]:
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        said = "times with a zone"
    elif isinstance(times.dtype, pl.Datetime):
        said = "times without a zone, taken as UTC"
    elif times.dtype == pl.Date:
        said = _days_alone()
    else:
        raise EvaluateError(f"column {name!r} holds {times.dtype}, which does not say when")
    return times.cast(pl.Datetime("us")).dt.epoch("us"), said


def _of_text(times: pl.Series, name: str) -> tuple[pl.Series, str]:
    texts = times.str.strip_chars()
    for form in FORMS:
        found = texts.str.to_datetime(form, time_unit="us", strict=False, ambiguous="null", exact=True)
        if found.count() >= NEARLY_ALL * texts.count() > 0:
            zone = "with a zone" if form.endswith("z") else "without a zone, taken as UTC"
            said = (
                f"texts like {texts.drop_nulls()[0]!r}, {zone}"
                if "%H" in form or "%I" in form
                else _days_alone()
            )
            return found.dt.replace_time_zone(None).dt.epoch("us"), said
    example = next((text for text in texts.drop_nulls()), "")
    raise EvaluateError(
        f"column {name!r} holds texts such as {example!r}, which are neither ISO 8601 times nor numbers"
    )


def _days_alone() -> str:
    return "days without hours: choose --window-hours 24 or a multiple"
