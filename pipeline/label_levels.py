"""What each label withholds: the table [labels] of foryou.toml, and what holds without it.

Owns: the defaults, and reading the table. Leaves to others: what the levels mean for lists (``store.model``), labels
that posts carry themselves (``ingest.records``).

The defaults are what the official app does for a viewer who changed nothing (docs/settings.md has the table, and
tests/network/test_label_defaults.py asks the app's own library). What it hides is in no list. What it shows behind a
warning may be in a list because of the viewer's own neighbours, but nobody gets it as popular.
"""

import re
from collections.abc import Mapping
from typing import Any

from pipeline.errors import SettingError, unknown
from pipeline.store.model import WithheldFrom

WORDS = {
    "everywhere": WithheldFrom.EVERYBODY,
    "popular": WithheldFrom.POPULAR,
    "anonymous": WithheldFrom.ANONYMOUS,
    "keep": WithheldFrom.NOBODY,
}
_DEFAULTS = {
    "everywhere": (
        # Hidden, whichever labeler says so. The app shows adult content to nobody who did not ask for it.
        "!hide", "porn", "sexual", "graphic-media", "gore",
        # Hidden where Bluesky's moderation service says so.
        "spam", "impersonation", "scam", "security", "threat", "unsafe-link", "illicit", "rude", "extremist",
        "engagement-farming", "inauthentic", "sexual-figurative",
        # Left out by the AppView itself; and an author's wish, which a labeler may pass on.
        "!takedown", "!suspend", "!no-promote",
    ),
    "popular": (
        "!warn", "intolerant", "self-harm", "misleading", "misinformation", "rumor", "sensitive",
    ),
    "anonymous": ("!no-unauthenticated",),
}  # fmt: skip
DEFAULT_WORDS = {value: word for word, values in _DEFAULTS.items() for value in values}
VALUES_MAX = 500  # of the table: each label that is stored names one
_VALUE = re.compile(r"!?[a-z0-9][a-z0-9-]{0,126}", re.ASCII)


def levels_from(table: Mapping[str, Any]) -> dict[str, int]:
    """Return the level of each value that withholds something; SettingError when the table is wrong."""
    words = dict(DEFAULT_WORDS)
    for value, word in table.items():
        if not _VALUE.fullmatch(value):
            raise SettingError(f"[labels] {value!r}: a label's value has small letters, digits and hyphens")
        if word not in WORDS:
            raise SettingError(f"[labels] {value}: {unknown('effect', str(word), tuple(WORDS))}")
        words[value] = word
    if len(words) > VALUES_MAX:
        raise SettingError(f"[labels] has too many values: at most {VALUES_MAX}")
    return {value: int(WORDS[word]) for value, word in sorted(words.items()) if word != "keep"}
