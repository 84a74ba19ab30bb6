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
    """Raised by a check: what is wrong, and what to do about it; ``blocks`` what needs the check, or will one day."""

    def __init__(self, seen: str, advice: str, *, blocks: bool = True) -> None:
        super().__init__(seen)
        self.seen, self.advice, self.blocks = seen, advice, blocks


class SkippedError(Exception):
    """Raised by a check that has nothing to check; the text says why."""


class Check(NamedTuple):
    """A check: its name, the function that returns what it saw, and what to do when that function itself fails.

    ``needs`` names checks before it without which it can only fail too: then it is skipped. A cause is named once.
    """

    name: str
    look: Callable[[], str]
    advice: str = "the message says what is wrong"
    needs: tuple[str, ...] = ()


def findings(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run checks in order; each returns what it saw, or raises WrongError or SkippedError."""
    causes: dict[str, str] = {}  # of each check without an answer, the one that is wrong
    for check in checks:
        cause = next((causes[need] for need in check.needs if need in causes), None)
        if cause is not None:
            causes[check.name] = cause
            yield Finding(check.name, "skipped", f"first mend: {cause}")
            continue
        try:
            yield Finding(check.name, "ok", check.look())
        except SkippedError as skipped:
            yield Finding(check.name, "skipped", str(skipped))
        except WrongError as wrong:
            if wrong.blocks:
                causes[check.name] = check.name
            yield Finding(check.name, "wrong", wrong.seen, wrong.advice)
        except Exception as error:
            causes[check.name] = check.name
            yield Finding(check.name, "wrong", str(error) or type(error).__name__, check.advice)
