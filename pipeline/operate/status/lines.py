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
CATCHES_UP = 1.1  # times the stream's own pace
MEASURED_SECONDS = 120.0  # ingest writes its measures every ten seconds
DISK_WARN_DAYS, DISK_BAD_SHARE = 30.0, 0.05
PAGES_SLOW_MS, PAGES_FAILED_SHARE = 1000.0, 0.05
# Why connections of the stream ended, as ``ingest.follow`` counts it.
ENDS = {
    "connect_failed": "could not connect",
    "connect_timeout": "no answer",
    "handshake_refused": "refused",
    "closed_1000": "closed by the server",
    "closed_1001": "closed by the server for a restart",
    "closed_1006": "broke",
    "silence": "fell silent",
    "clock": "held for the clock",
    "failover": "turned to another host",
}


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
    """Return the lines of a status: the state of all first, then what to look at first."""
    if figures["shard"] is not None:  # a node: it has no stream, no lake and no runs of its own
        shown = [
            _data(figures),
            _parts(figures),
            *_exchange(figures),
            _lists(figures),
            *_served(figures),
            _serving_stores(figures),
        ]
        return [_state(shown), *shown]
    shown = [
        _data(figures),
        _parts(figures),
        _stream(figures),
        *_labelers(figures),
        _lists(figures),
        *_exchange(figures),
        *_first_pages(figures),
        *_served(figures),
        *_runs(figures),
        *_gaps(figures),
        *_beginning(figures),
        *_counted(figures),
        *_stores(figures),
    ]
    return [_state(shown), *shown]


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


def _state(shown: list[Line]) -> Line:
    """Say in one line whether all is well, or what to look at first."""
    bad, warned = (
        ", ".join(dict.fromkeys(line.subject for line in shown if line.level is level))
        for level in (Level.BAD, Level.WARN)
    )
    if bad:
        return Line("state", f"look at: {bad}" + (f"; less urgent: {warned}" if warned else ""), Level.BAD)
    if warned:
        return Line("state", f"well; worth a look: {warned}", Level.WARN)
    return Line("state", "well", Level.OK)


def _parts(figures: Mapping[str, Any]) -> Line:
    parts = figures["parts"]
    running = [f"{part} (process {pid})" for part, pid in parts.items() if pid is not None]
    running += ["serve"] if figures["web"] is not None else []
    missing = [part for part, pid in parts.items() if pid is None and part != "batch"]
    missing += ["serve"] if figures["web"] is None else []
    text = ", ".join(running) or "no part"
    if not missing:
        return Line("running", text, Level.OK)
    if running:
        text += f"; not {' and '.join(missing)}"
    command = "foryou up" if figures["shard"] is None else "foryou node"
    return Line("running", f"{text}: start it with '{command}', or as a service of the system", Level.BAD)


def _exchange(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Say what this machine exchanges with others, and at the head what each of them has."""
    exchange = figures["exchange"]
    if exchange is None:
        return
    state, now_us = exchange["state"], figures["now_us"]
    subject = "exchange" if figures["shard"] is None else f"shard {figures['shard']}"
    wrong = "; ".join(f"{problem['seen']}: {problem['advice']}" for problem in exchange["problems"])
    if state is None:
        yield Line(subject, wrong, Level.BAD)
        return
    own = state["own"]
    text = f"generation {own['generation']} of {state['head_generation']}"
    text += f", lists {'taken' if own['shard'] else 'given'} {_ago(own['part_us'], now_us)}"
    text += f", all exchanged {_ago(state['worked_us'], now_us)}"
    if own["behind_us"]:
        text += f", {duration_text((now_us - own['behind_us']) / 1e6)} behind"
    yield Line(subject, f"{text}; {wrong}" if wrong else text, Level.BAD if wrong else Level.OK)
    journals = {journal["machine"]: journal for journal in state["journals"]}
    for node in state["nodes"]:
        yield _node(node, exchange["node_problems"], journals.pop(node["name"], None), now_us)
    for journal in journals.values():
        yield Line("journals", f"{journal['machine']}: {_journal(journal, now_us)}")


def _node(
    node: Mapping[str, Any], problems: list[dict[str, str]], journal: Mapping[str, Any] | None, now_us: int
) -> Line:
    wrong = [each for each in problems if each["node"] == node["name"]]
    text = f"{node['name']}, shard {node['shard']}, generation {node['generation']}"
    text += f", lists taken {_ago(node['part_us'], now_us)}, said so {_ago(node['at_us'], now_us)}"
    if journal is not None:
        text += f", journals {_journal(journal, now_us)}"
    text += "".join(f"; {each['seen']}: {each['advice']}" for each in wrong)
    return Line("node", text, Level.WARN if wrong else Level.OK)


def _journal(journal: Mapping[str, Any], now_us: int) -> str:
    waiting = journal["waiting_bytes"]
    text = f"written {_ago(journal['written_us'], now_us)}"
    return text + (f", {bytes_text(waiting)} not taken yet" if waiting else ", all taken")


def _ago(time_us: int, now_us: int) -> str:
    return f"{duration_text(max(0.0, (now_us - time_us) / 1e6))} ago" if time_us else "never"


def _is_ingesting(figures: Mapping[str, Any]) -> bool:
    """Tell whether the measures of ingest are of now."""
    measured = max((row["measured_us"] for row in figures["gauges"].values()), default=0)
    return bool(figures["now_us"] - measured < MEASURED_SECONDS * 1e6)


def _stream(figures: Mapping[str, Any]) -> Line:
    stream, gauges = figures["stream"], {name: row["value"] for name, row in figures["gauges"].items()}
    ingesting = _is_ingesting(figures)
    if stream is None:
        text = "nothing stored yet"
        if ingesting:
            return Line("stream", f"{text}, though ingest is running: 'foryou doctor' says why", Level.BAD)
        return Line("stream", text, Level.WARN)
    if ingesting and gauges.get("holding"):
        text = f"holding: {stream['host']} is ahead of this machine's clock, and nothing is stored until they agree"
        return Line("stream", f"{text}; is this machine's time right?", Level.BAD)
    lag, pace = stream["lag_seconds"], stream["events_per_second"]
    level = Level.OK if lag < LAG_WARN_SECONDS else Level.WARN if lag < LAG_BAD_SECONDS else Level.BAD
    text = f"{stream['host']} ({stream['wire']}), events up to {utc(stream['event_us'])}, {duration_text(lag)} behind"
    if level is not Level.OK and ingesting and gauges.get("messages_per_second", 0.0) > CATCHES_UP * pace > 0:
        level = Level.WARN
        text += " and catching up"
    if pace:
        text += f", {pace:,.0f} events/s"
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
        words = ENDS if kind == "connection" else {}
        named = ", ".join(
            f"{words.get(name, name.replace('_', ' '))} {value:,}" for name, value in counted.items()
        )
        yield Line(f"{kind}s", named)
    if figures["gauges"]:
        yield Line("ingest", _measures(figures))


def _measures(figures: Mapping[str, Any]) -> str:
    """Return what ingest measured of itself, in words."""
    values = {name: row["value"] for name, row in figures["gauges"].items()}
    texts = []
    if "messages_per_second" in values:
        texts.append(f"{values['messages_per_second']:,.0f} messages/s")
    if "received_bytes_per_second" in values:
        texts.append(f"{bytes_text(values['received_bytes_per_second'])}/s")
    if "commit_seconds" in values:
        texts.append(f"a commit takes {values['commit_seconds']:.2f} s")
    if "queue_chunks" in values:
        texts.append(f"{values['queue_chunks']:.0f} MB wait to be stored")
    if _is_ingesting(figures):
        return ", ".join(texts)
    measured = max(row["measured_us"] for row in figures["gauges"].values())
    return f"{', '.join(texts)} ({duration_text((figures['now_us'] - measured) / 1e6)} ago)"


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
    yield _serving_stores(figures)


def _serving_stores(figures: Mapping[str, Any]) -> Line:
    serving, activity = (bytes_text(figures[f"{name}_bytes"]) for name in ("serving", "activity"))
    return Line("stores", f"serving {serving}, activity {activity}")


def _by_day(likes: Mapping[str, int | None]) -> str:
    counts = (
        f"{day} {'unreadable' if count is None else format(count, ',')}" for day, count in likes.items()
    )
    return ", ".join(counts) or "none"


def _lists(figures: Mapping[str, Any]) -> Line:
    generation = figures["generation"]
    if generation is None:
        return Line("lists", "none published yet", Level.WARN)
    maker = "the schedule" if figures["shard"] is None else "the schedule of the head"
    # Runs for a few viewers publish too, and say nothing of everybody else's lists.
    age = max(generation["age_seconds"], figures["everybody_age_seconds"])
    text = (
        f"generation {generation['generation']}, published {duration_text(generation['age_seconds'])} ago, "
    )
    text += f"everybody's {duration_text(age)} ago, {generation['viewers']:,} viewers"
    old_seconds = figures["lists_old_seconds"]
    if age > old_seconds:
        return Line("lists", f"old: {text}; is {maker} running?", Level.BAD)
    return Line("lists", text, Level.OK if age < old_seconds / 2 else Level.WARN)


def _first_pages(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Say how different first pages are; a feed is named where there are several."""
    feeds = figures["first_pages"]
    for pages in feeds:
        text = f"{pages['feed']}: " if len(feeds) > 1 else ""
        if pages["in_common"] is not None:
            text += f"two strangers have {pages['in_common']:.0%} in common; "
        text += (
            f"{pages['few_likers']:.0%} of posts have five likers or fewer, "
            f"{pages['under_hour']:.0%} are under an hour old; "
            f"the most shown hundredth of authors has {pages['top_authors']:.0%} of places"
        )
        yield Line("first pages", text)


def _served(figures: Mapping[str, Any]) -> Iterator[Line]:
    viewers, web = figures["viewers_today"], figures["web"]
    if viewers is not None:
        yield Line("viewers", f"{viewers:,} opened the feed today (UTC)")
    if web is None:
        yield Line("web app", f"does not answer at {figures['address']}", Level.BAD)
        return
    recent = web["pages"]
    text = "ok" if web["ok"] else f"failing: {web['reason']}"
    level = Level.OK if web["ok"] else Level.BAD
    if recent is not None:
        text += f", {_pages(recent)}"
        slow = recent["slower_than_ms"] is not None or (recent["p99_ms"] or 0) > PAGES_SLOW_MS
        if recent["failed"] > PAGES_FAILED_SHARE * recent["pages"]:
            level = Level.BAD
        elif (slow or recent["failed"] or recent["refused"]) and level is Level.OK:
            level = Level.WARN
    yield Line("web app", text, level)


def _pages(recent: Mapping[str, Any]) -> str:
    """Return what the web app says of the feed pages of the last minutes, in words."""
    seconds = recent["seconds"]
    text = f"{recent['pages']:,} feed pages in the last {duration_text(seconds)}"
    if recent["pages"]:
        text += f" ({recent['pages'] / max(seconds, 1.0):,.1f}/s)"
    if recent["p99_ms"] is not None:
        text += f", 99 % within {recent['p99_ms']:,.0f} ms"
    elif recent["slower_than_ms"] is not None:
        text += f", the slowest took more than {recent['slower_than_ms']:,.0f} ms"
    for name in ("failed", "refused"):
        if recent[name]:
            text += f", {recent[name]:,} {name}"
    return text


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
