"""What the figures mean to the operator: a line for every subject, and whether it is all right.

Owns: the words of the lines, and the limits beyond which something needs attention. Leaves to others: the figures
(``gather``), colours (``show``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.progress import bytes_text, duration_text
from pipeline.store.model import DAY_US, day_of, utc
from sql import places

LAG_WARN_SECONDS, LAG_BAD_SECONDS = 120.0, 1800.0
DISK_WARN_DAYS, DISK_BAD_SHARE = 30.0, 0.05


class Level(Enum):
    """What a line's colour says; PLAIN lines have no limits."""

    PLAIN = "plain"
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """A subject and its state, in words."""

    subject: str
    text: str
    level: Level = Level.PLAIN


def lines(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of a status."""
    return [
        _data(figures),
        _parts(figures),
        _stream(figures),
        *_labelers(figures),
        *_gaps(figures),
        *_beginning(figures),
        *_counted(figures),
        *_stores(figures),
        _lists(figures),
        *_served(figures),
        *_runs(figures),
    ]


def _data(figures: Mapping[str, Any]) -> Line:
    disk = figures["disk"]
    text = f"{figures['data_dir']}, {bytes_text(disk['free_bytes'])} free on its disk"
    days = disk["days_until_full"]
    if days is not None:
        text += f", full in {days:.0f} days as the lake grows"
    elif figures["lake"]["bytes_per_day"]:
        text += f": room for all {disk['window_days']} days of the lake"
    if disk["free_bytes"] < DISK_BAD_SHARE * disk["total_bytes"]:
        return Line("data", text, Level.BAD)
    return Line("data", text, Level.WARN if days is not None and days < DISK_WARN_DAYS else Level.PLAIN)


def _parts(figures: Mapping[str, Any]) -> Line:
    running = [f"{part} (process {pid})" for part, pid in figures["parts"].items() if pid is not None]
    return Line("running", ", ".join(running) or "no part")


def _stream(figures: Mapping[str, Any]) -> Line:
    stream = figures["stream"]
    if stream is None:
        return Line("stream", "nothing stored yet")
    if figures["gauges"].get("holding", {}).get("value"):
        text = f"holding: {stream['host']} is ahead of this machine's clock, and nothing is stored until they agree"
        return Line("stream", f"{text}; is this machine's time right?", Level.BAD)
    lag = stream["lag_seconds"]
    level = Level.OK if lag < LAG_WARN_SECONDS else Level.WARN if lag < LAG_BAD_SECONDS else Level.BAD
    text = f"{stream['host']} ({stream['wire']}), events up to {utc(stream['event_us'])}, {duration_text(lag)} behind"
    if stream["events_per_second"]:
        text += f", {stream['events_per_second']:,.0f} events/s"
    failovers = figures["counters"].get("connection", {}).get("failover", 0)
    if failovers:
        others = ", ".join(other["host"] for other in figures["other_streams"])
        text += f"; {failovers} failovers" + (f", before on {others}" if others else "")
    return Line("stream", text, level)


def _labelers(figures: Mapping[str, Any]) -> Iterator[Line]:
    for labeler in figures["labelers"]:
        if not labeler["received_us"]:
            yield Line("labels", f"{labeler['did']}: nothing yet", Level.WARN)
            continue
        came, made = ((figures["now_us"] - labeler[name]) / 1e6 for name in ("received_us", "stated_us"))
        text = (
            f"{labeler['did']}, {labeler['labels']:,} that withhold posts, up to message {labeler['seq']:,}"
        )
        text += f", which came {duration_text(came)} ago"
        # A labeler may be silent. One that sends old labels is being read from its beginning, or catching up.
        behind = made - came
        if labeler["stated_us"] and behind > LAG_WARN_SECONDS:
            text += f"; its labels are {duration_text(behind)} old"
        if labeler["gaps"]:
            text += f"; {labeler['gaps']} gaps"
        yield Line("labels", text, Level.WARN if labeler["gaps"] else Level.PLAIN)


def _gaps(figures: Mapping[str, Any]) -> Iterator[Line]:
    for gap in figures["gaps"]:
        first, last = utc(gap["from_us"]), utc(gap["to_us"])
        if first[:10] == last[:10]:
            last = last[11:]
        days = range(day_of(gap["from_us"]), day_of(gap["to_us"]) + 1)
        names = ", ".join(places.day_name(day) for day in days) if len(days) <= 3 else (
            f"{places.day_name(days[0])} to {places.day_name(days[-1])}"
        )  # fmt: skip
        length = duration_text((gap["to_us"] - gap["from_us"]) / 1e6)
        yield Line(
            "gap", f"{first} to {last} ({length}): day{'s' * (len(days) > 1)} {names} partial", Level.WARN
        )


def _beginning(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Say that the first day is partial, as long as it is stored."""
    if figures["began_us"] % DAY_US == 0:  # nothing is stored, or a backfill reported all of that day
        return
    day, first = places.day_name(day_of(figures["began_us"])), figures["lake"]["first_day"]
    if first is None or first <= day:
        yield Line("began", f"{utc(figures['began_us'])}: day {day} partial")


def _counted(figures: Mapping[str, Any]) -> Iterator[Line]:
    for kind, counted in figures["counters"].items():
        named = ", ".join(f"{name} {value:,}" for name, value in counted.items())
        yield Line(f"{kind}s", named)
    if figures["gauges"]:
        measures = (f"{name} {row['value']:,.4g}" for name, row in figures["gauges"].items())
        yield Line("ingest", ", ".join(measures))


def _stores(figures: Mapping[str, Any]) -> Iterator[Line]:
    landing, lake = figures["landing"], figures["lake"]
    yield Line(
        "landing", f"{bytes_text(landing['bytes'])}; likes of open days: {_by_day(landing['likes_by_day'])}"
    )
    days = f"{lake['first_day']} to {lake['last_day']}" if lake["days"] else "none yet"
    text = f"{lake['days']} closed days ({days}), {bytes_text(lake['bytes'])}"
    if lake["bytes_per_day"]:
        text += f", {bytes_text(lake['bytes_per_day'])} a day lately; likes: {_by_day(lake['likes_by_day'])}"
    yield Line("lake", text)
    yield Line(
        "stores",
        f"serving {bytes_text(figures['serving_bytes'])}, activity {bytes_text(figures['activity_bytes'])}",
    )


def _by_day(likes: Mapping[str, int | None]) -> str:
    counts = (
        f"{day} {'unreadable' if count is None else format(count, ',')}" for day, count in likes.items()
    )
    return ", ".join(counts) or "none"


def _lists(figures: Mapping[str, Any]) -> Line:
    generation = figures["generation"]
    if generation is None:
        return Line("lists", "none published yet")
    # Runs for a few viewers publish too, and say nothing of everybody else's lists.
    age = max(generation["age_seconds"], figures["everybody_age_seconds"])
    text = (
        f"generation {generation['generation']}, published {duration_text(generation['age_seconds'])} ago, "
    )
    text += f"everybody's {duration_text(age)} ago, {generation['viewers']:,} viewers"
    old_seconds = figures["lists_old_seconds"]
    if age > old_seconds:
        return Line("lists", f"old: {text}; is the schedule running?", Level.BAD)
    return Line("lists", text, Level.OK if age < old_seconds / 2 else Level.WARN)


def _served(figures: Mapping[str, Any]) -> Iterator[Line]:
    viewers, web = figures["viewers_today"], figures["web"]
    if viewers is not None:
        yield Line("viewers", f"{viewers:,} opened the feed today (UTC)")
    if web is None:
        yield Line("web app", "does not answer at this installation's address")
        return
    text = "ok" if web["ok"] else f"failing: {web['reason']}"
    if web["requests"] is not None:
        text += f", {web['requests']:,} requests since it started"
        if web["requests_per_second"] is not None:
            text += f" ({web['requests_per_second']:,.1f}/s)"
        if web["p99_ms"] is not None:
            text += f", 99 % within {web['p99_ms']:,.0f} ms"
    yield Line("web app", text, Level.OK if web["ok"] else Level.BAD)


def _runs(figures: Mapping[str, Any]) -> Iterator[Line]:
    scheduled = figures["parts"]["schedule"] is not None
    for run in figures["runs"]:
        text = (
            f"{utc(run['started_us'])}  {run['seconds']:7.1f} s  {run['peak_mb']:6.0f} MB  {run['outcome']}"
        )
        if scheduled and run["due_us"] is not None:
            wait = (run["due_us"] - figures["now_us"]) / 1e6
            text += f"; next due in {duration_text(wait)}" if wait > 0 else "; next due now"
        if run["overdue"]:
            text += "; long overdue: is the schedule running?"
        subject = run["job"] if run["tier"] == "all" else f"{run['job']}, {run['tier']}"
        well = run["outcome"] == "done" and not run["overdue"]
        yield Line(subject, text, Level.OK if well else Level.BAD)
