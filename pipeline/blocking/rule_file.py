"""The file of the operator's rules, ``rules.txt`` in the data directory: read whole, changed a line at a time.

Owns: reading it, with the number of a line that is wrong, and adding and removing rules. Leaves to others: what a rule
is (``rules``), what follows from it (``in_force``).

Invariant: a change keeps every other line as the operator wrote it, comments included, and takes the old file's place
with one rename. Two commands at once take turns.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.blocking.rules import LISTS_MAX, Rule, rule_of
from pipeline.errors import PipelineError
from pipeline.store.whole_files import whole
from sql import places

# So that a file that somebody else's program fills can't fill the memory of those who read it.
FILE_MAX_BYTES, RULES_MAX = 8 << 20, 100_000
_HEAD = (
    "# What no list of this feed shows, and what it shows in spite of others' word. One rule a line; 'foryou block'",
    "# and 'foryou allow' change this file, and so may you. docs/blocking.md describes it.",
)


class RulesError(PipelineError):
    """A line of the file of rules is wrong, or the file can't be read."""


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A line of the file as it stands there, without its end, and the rule that it states, if it states one."""

    text: str
    rule: Rule | None


def rules_of(data_dir: Path) -> list[Rule]:
    """Return the rules in force by the file; none when there is no file. RulesError names the line that is wrong."""
    return [line.rule for line in _lines(places.rules(data_dir)) if line.rule is not None]


def add(data_dir: Path, rules: Iterable[Rule]) -> list[Rule]:
    """Add rules that are not there yet, in place of opposite ones; return those that were added."""
    with _changing(data_dir) as lines:
        known = {line.rule.subject: line.rule.action for line in lines if line.rule is not None}
        added = {rule.subject: rule for rule in rules if known.get(rule.subject) != rule.action}
        lines[:] = [line for line in lines if line.rule is None or line.rule.subject not in added]
        lines += [RuleLine(rule.as_line(), rule) for rule in added.values()]
        if len(known | added) > RULES_MAX:
            raise RulesError(f"{len(known | added):,} rules are too many: at most {RULES_MAX:,} are allowed")
    return [*added.values()]


def remove(data_dir: Path, rules: Iterable[Rule]) -> list[Rule]:
    """Remove rules, whatever their notes; return those that were there."""
    wanted = {(rule.action, *rule.subject) for rule in rules}
    with _changing(data_dir) as lines:
        removed = {
            line.rule.subject: line.rule
            for line in lines
            if line.rule is not None and (line.rule.action, *line.rule.subject) in wanted
        }
        lines[:] = [line for line in lines if line.rule is None or line.rule.subject not in removed]
    return [*removed.values()]


@contextmanager
def _changing(data_dir: Path) -> Iterator[list[RuleLine]]:
    """Give the lines of the file, to be changed in place; what they are at the end is the file."""
    path = places.rules(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    with places.lock(data_dir, "rules").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        lines = _lines(path)
        before = list(lines)
        yield lines
        if lines == before:
            return
        text = [line.text for line in lines] if before else [*_HEAD, *(line.text for line in lines)]
        try:
            with whole(path) as draft:
                draft.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
                if path.exists():
                    os.chmod(draft, path.stat().st_mode & 0o777)
        except OSError as error:
            raise RulesError(f"{path} can't be written: {error.strerror}") from error


def _lines(path: Path) -> list[RuleLine]:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RulesError(f"{path} can't be read: {error.strerror}") from error
    if len(content) > FILE_MAX_BYTES:
        raise RulesError(f"{path} has more than {FILE_MAX_BYTES >> 20} MB, which is too much for rules")
    lines: list[RuleLine] = []
    known: dict[tuple[str, str], tuple[int, Rule]] = {}
    lists = 0
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text = raw.decode()
            rule = rule_of(text)
            if rule is not None:
                first, other = known.setdefault(rule.subject, (number, rule))
                if other.action != rule.action:
                    raise ValueError(f"line {first} says the opposite")
                lists += rule.kind == "list" and first == number
                if lists > LISTS_MAX:
                    raise ValueError(f"more than {LISTS_MAX} lists are too many")
        except ValueError as error:
            shown = "the text is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            raise RulesError(f"{path}, line {number}: {shown}") from error
        lines.append(RuleLine(text, rule))
    if len(known) > RULES_MAX:
        raise RulesError(f"{path} has {len(known):,} rules; at most {RULES_MAX:,} are allowed")
    return lines
