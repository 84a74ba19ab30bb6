"""What one check found.

Owns: the three outcomes, and running checks one after another. Leaves to others: the checks.

Invariant: a check that itself fails is a finding, never a traceback: the others still run.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

State = Literal["ok", "wrong", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's name, its outcome, what it saw, and what to do when that is wrong."""

    check: str
    state: State
    seen: str
    advice: str = ""


class WrongError(Exception):
    """Raised by a check: what is wrong, and what to do about it."""

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__(seen)
        self.seen, self.advice = seen, advice


class SkippedError(Exception):
    """Raised by a check that has nothing to check; the text says why."""


class Check(NamedTuple):
    """A check: its name, the function that returns what it saw, and what to do when that function itself fails."""

    name: str
    look: Callable[[], str]
    advice: str = "the message says what is wrong"


def findings(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run checks in order; each returns what it saw, or raises WrongError or SkippedError."""
    for name, look, advice in checks:
        try:
            yield Finding(name, "ok", look())
        except SkippedError as skipped:
            yield Finding(name, "skipped", str(skipped))
        except WrongError as wrong:
            yield Finding(name, "wrong", wrong.seen, wrong.advice)
        except Exception as error:
            yield Finding(name, "wrong", str(error) or type(error).__name__, advice)
