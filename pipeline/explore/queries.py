"""The query files of ``sql/explore``, and what their headers say about them.

Owns: finding a query by its name, its file or its text, reading a header, the values of parameters, and showing both to
people. Leaves to others: running queries (``session``).

A header declares each parameter as ``name = default (meaning)``. A default in quotes is a text, one with a point is a
number, one without is a whole number. None of our own queries takes a number below 0. A parameter without a default
must be given. The query itself says ``coalesce(getvariable('name'), default)``, so that it also runs without this
program.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sql
from pipeline.errors import PipelineError, unknown

FOLDER = "explore"
VIEWS = "explore/views"

Value = int | float | str

_SECTION = re.compile(r"^-- (Question|Reads|Writes|Grain|Parameters|Units|Columns): *(.*)$")
_PARAMETER = re.compile(r"(\w+)(?: = ('[^']*'|-?[\d.]+))? \(([^()]*)\)")


class QueryError(PipelineError):
    """A query that is unknown or fails, or a parameter that is unknown or malformed."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query; ``default`` is None when it must be given."""

    name: str
    default: Value | None
    meaning: str
    least: float | None = None  # a number below it is refused

    def value_of(self, text: str) -> Value:
        """Return the value of a text; QueryError when the default is a number and the text is not, or is too low."""
        if self.default is None or isinstance(self.default, str):
            return text
        kind = type(self.default)
        expected = "a whole number" if kind is int else "a number"
        try:
            value = kind(text)
        except ValueError as error:
            raise QueryError(f"--{self.name} = {text!r}: must be {expected} ({self.meaning})") from error
        if self.least is not None and not self.least <= value < math.inf:
            raise QueryError(
                f"--{self.name} = {text!r}: must be {expected}, {self.least:g} or more ({self.meaning})"
            )
        return value


@dataclass(frozen=True, slots=True)
class Query:
    """A query file: its text and what its header declares."""

    name: str
    text: str
    sections: Mapping[str, str]
    parameters: Mapping[str, Parameter]

    @property
    def question(self) -> str:
        """The question that it answers."""
        return self.sections.get("Question", "")

    def values(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return the values of given parameters; QueryError for an unknown, malformed or missing one."""
        for name in given:
            if name not in self.parameters:
                known = [f"--{parameter}" for parameter in self.parameters]
                raise QueryError(f"{self.name}: {unknown('parameter', f'--{name}', known)}")
        for name, parameter in self.parameters.items():
            if parameter.default is None and name not in given:
                raise QueryError(f"{self.name} needs --{name} ({parameter.meaning})")
        return {name: self.parameters[name].value_of(text) for name, text in given.items()}


def names() -> tuple[str, ...]:
    """Return the names of the queries, sorted."""
    return tuple(name.partition("/")[2] for name in sql.names(FOLDER) if name != VIEWS)


def find(wanted: str) -> Query:
    """Return the query of a name, of a file ending in .sql, or of a text; QueryError when there is none.

    A text has a space or a semicolon, which no name has.
    """
    if wanted in names():
        return parse(wanted, sql.load(f"{FOLDER}/{wanted}"), least=0)
    if wanted.endswith(".sql"):
        path = Path(wanted)
        try:
            return parse(path.name, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise QueryError(f"can't read {wanted}: {error}") from error
    if re.search(r"[\s;]", wanted):
        return parse("query", wanted)
    raise QueryError(
        f"{unknown('query', wanted, names())}; 'foryou sql --list' lists them, "
        "or give a file ending in .sql, or SQL itself in quotes"
    )


def parse(name: str, text: str, least: float | None = None) -> Query:
    """Return a query with what its header declares; numbers below ``least`` are refused."""
    sections: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        matched = _SECTION.match(line)
        if matched:
            current = matched[1]
            sections[current] = matched[2]
        elif current:
            sections[current] += " " + line.removeprefix("--").strip()
    parameters = {
        name: Parameter(name, _default(default), meaning, least)
        for name, default, meaning in _PARAMETER.findall(sections.get("Parameters", ""))
    }
    return Query(name, text, sections, parameters)


def _default(text: str) -> Value | None:
    if not text:
        return None
    if text.startswith("'"):
        return text[1:-1]
    return float(text) if "." in text else int(text)


def parameters_of(words: Sequence[str]) -> dict[str, str]:
    """Return parameters given as --name value or --name=value; QueryError for anything else."""
    given: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, separator, value = word.partition("=")
        if not name.startswith("--") or len(name) < 3:
            raise QueryError(f"{word!r} is not a parameter: write --name value")
        name = name[2:].replace("-", "_")
        if not separator:
            following = next(rest, None)
            if following is None:
                raise QueryError(f"--{name} needs a value")
            value = following
        if name in given:
            raise QueryError(f"--{name} is given twice")
        given[name] = value
    return given


def listing() -> str:
    """Return the queries with their questions and parameters."""
    found = [find(name) for name in names()]
    width = max(len(query.name) for query in found)
    lines = []
    for query in found:
        lines.append(f"{query.name:<{width}}  {query.question}")
        lines += [f"{'':<{width}}    {line}" for line in _parameter_lines(query)]
    return "\n".join(lines)


def description(query: Query) -> str:
    """Return what the header of one query says, for --help."""
    flags = "".join(
        f" --{name} {name.upper()}" if parameter.default is None else f" [--{name} {name.upper()}]"
        for name, parameter in query.parameters.items()
    )
    lines = [f"usage: foryou sql {query.name}{flags}", "", query.question or "It has no header.", ""]
    if query.parameters:
        lines += ["parameters:", *(f"  {line}" for line in _parameter_lines(query)), ""]
    for section in ("Grain", "Units"):
        if query.sections.get(section):
            lines.append(f"{section}: {query.sections[section]}")
    lines.append("'foryou sql --help' has the flags that every query has")
    return "\n".join(lines)


def _parameter_lines(query: Query) -> list[str]:
    return [
        f"--{parameter.name}{'' if parameter.default in (None, '') else f' {parameter.default}'}: {parameter.meaning}"
        for parameter in query.parameters.values()
    ]
