"""The errors a person at the command line can act on.

``cli.main`` prints a PipelineError as one line and exits 1. Any other exception is a defect and keeps its traceback.
Malformed data from the network raises none of these: it is dropped and counted by reason.

    PipelineError
    ├── SettingError    a setting that is unknown, malformed or missing
    ├── StoreError      a store that can't be opened, is locked, or breaks its own rules
    ├── BatchError      a run whose input or result fails its checks
    └── BackfillError   history that can't be fetched or read
"""

import difflib
from collections.abc import Sequence


class PipelineError(Exception):
    """Something is wrong that the operator can mend; the text says what, and what to do."""


class SettingError(PipelineError):
    """A setting is unknown, malformed or missing."""


class StoreError(PipelineError):
    """A store can't be opened, is in use by another process, or breaks its own rules."""


class BatchError(PipelineError):
    """A batch run's input or result fails its checks; nothing was published."""


class BackfillError(PipelineError):
    """History can't be fetched or read; the text says from where, why, and what to do."""


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Say that a name is not known, and which known one may be meant: unknown setting X (did you mean Y?)."""
    # What all known names begin with says nothing of which is meant.
    common = next((start for start in ("FORYOU_", "--") if all(each.startswith(start) for each in known)), "")
    ends = {each.removeprefix(common): each for each in known}
    near = difflib.get_close_matches(name.removeprefix(common), ends, n=1)
    if near:
        return f"unknown {kind} {name} (did you mean {ends[near[0]]}?)"
    return f"unknown {kind} {name}" + (
        f"; expected one of {', '.join(known)}" if 0 < len(known) <= 12 else ""
    )
