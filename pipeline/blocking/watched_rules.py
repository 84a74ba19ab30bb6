"""The operator's rules while ingest runs: looked for once a second, so that a change needs no restart.

Owns: when the files are looked at, and what happens when one is wrong. Leaves to others: reading them (``rule_file``),
what follows for accounts and posts (``in_force``), comparing records with rules (``text_rules``).

Invariant: a wrong file changes nothing, and is reported once.
"""

import logging
import time
from pathlib import Path

from pipeline.blocking.in_force import bring_into_force, files_of
from pipeline.blocking.rule_file import RulesError, rules_of
from pipeline.blocking.text_rules import TextCheck, check_of
from pipeline.errors import StoreError

log = logging.getLogger("foryou.rules")

LOOK_SECONDS = 1.0


class WatchedRules:
    """The rules of a data directory, as they are now."""

    def __init__(self, data_dir: Path) -> None:
        """Read the rules; RulesError when they are wrong: nobody can know which posts to keep out."""
        self._data_dir = data_dir
        self._files = files_of(data_dir)
        self._check = check_of(rules_of(data_dir))
        self._look_at = 0.0
        bring_into_force(data_dir)

    def check(self) -> TextCheck | None:
        """Return what ``text_rules.check_of`` says of the rules; take over what has changed in the files first."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            files = files_of(self._data_dir)
            if files != self._files:
                self._take_over()
                self._files = files
        return self._check

    def _take_over(self) -> None:
        try:
            rules = rules_of(self._data_dir)
            bring_into_force(self._data_dir)
        except (RulesError, StoreError) as error:
            log.warning("%s; the rules that were in force before stay", error)
            return
        self._check = check_of(rules)
        log.info("%d rules are in force", len(rules))
