"""``foryou sync``: what a machine gives to the others, and takes from them, again and again.

Owns: the order, how often, and what happens when the shared folder can't be reached. Leaves to others: each of the
things that are exchanged.

The head, which has no ``FORYOU_SHARD``, gives lists, removals and the key of page cursors. A node takes them. Both take
what viewers did from the journals of all machines into their own activity.sqlite, through a function that the command
line passes.

Invariant: nothing here keeps the web app from answering. While the folder can't be reached, a node serves what it has.
"""

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pipeline.errors import PipelineError, SettingError
from pipeline.nodes.exchange_state import (
    ExchangeState,
    Machine,
    behind_since,
    give_state,
    journal_states,
    known_nodes,
    read_exchange,
    taken_part,
)
from pipeline.nodes.give_lists import give_lists, remove_old_parts
from pipeline.nodes.machine import machine_name
from pipeline.nodes.part_manifest import read_manifest
from pipeline.nodes.shared_files import RemovalsGiver, enter, give_key, take_key, take_removals
from pipeline.nodes.take_lists import take_lists
from pipeline.notify import service_manager
from pipeline.ranking import ranking_from
from pipeline.settings import Settings
from pipeline.store.locks import exclusive
from pipeline.store.newest_generation import newest_generation
from sql.sqlite import SchemaError

log = logging.getLogger("foryou.sync")

TURN_SECONDS = 0.5
CLEAN_SECONDS = 60.0
SAY_SECONDS = 60.0  # between two lines about the same failure
STATE_SECONDS = 5.0  # between two words about what this machine has, unless that changed

Exchange = Callable[[], object]


def run(settings: Settings, journals: Exchange) -> None:
    """Exchange until SIGTERM or SIGINT. ``journals`` takes what viewers did from all journals."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with exclusive(settings.data_dir, "sync"):
        turns = SyncTurns(settings, journals)
        turns.take_turn()
        service_manager().ready()
        log.info("exchanging as %s through %s", turns.role, turns.shared_dir)
        while not stopping.wait(TURN_SECONDS):
            turns.take_turn()
            service_manager().alive()
        turns.close()


class SyncTurns:
    """Everything that is exchanged, once a turn."""

    def __init__(self, settings: Settings, journals: Exchange) -> None:
        if settings.shared_dir is None:
            raise SettingError("FORYOU_SHARED_DIR is not set: it is the folder that all machines see")
        self.shared_dir = settings.shared_dir
        self._settings, self._data_dir = settings, settings.data_dir
        self.role = "the head" if settings.shard is None else f"a node of shard {settings.shard}"
        self._ranking = ranking_from(settings.ranking)
        self._journals = journals
        self._removals = RemovalsGiver(self._data_dir, self.shared_dir)
        self._removals_taken: tuple[int, int] | None = None
        self._clean_at = 0.0
        self._said: dict[str, float] = {}
        self._failures: dict[str, str] = {}
        self._state: ExchangeState | None = read_exchange(self._data_dir)
        self._state_due = 0.0

    def take_turn(self) -> bool:
        """Exchange everything once; tell whether all of it worked. What fails is tried again at the next turn."""
        worked = self._exchange()
        self._try("state", partial(self._note, worked=worked))
        return worked

    def _exchange(self) -> bool:
        if not self._try("folder", self._look):
            return False
        # Journals first: a node serves nobody before it knows what they did elsewhere.
        steps: dict[str, Exchange] = {"journals": self._journals}
        if self._settings.shard is None:
            steps |= {"lists": self._give_lists, "removals": self._removals.give, "key": self._give_key}
        else:
            steps |= {"lists": self._take_lists, "removals": self._take_removals, "key": self._take_key}
        worked = [self._try(name, step) for name, step in steps.items()]
        return all(worked)

    def close(self) -> None:
        """Close what is open."""
        self._removals.close()

    def _try(self, name: str, step: Exchange) -> bool:
        try:
            step()
        except (OSError, PipelineError, SchemaError, sqlite3.Error, ValueError) as error:
            failure = error
        else:
            self._failures.pop(name, None)
            if self._said.pop(name, None) is not None:
                log.info("%s are exchanged again", name)
            return True
        self._failures[name] = str(failure)
        now = time.monotonic()
        if now - self._said.get(name, -SAY_SECONDS) >= SAY_SECONDS:
            self._said[name] = now
            log.warning("%s: %s", name, failure)
        return False

    def _look(self) -> None:
        is_first = self._state is None or not self._state.worked_us
        enter(self.shared_dir, is_head=self._settings.shard is None, is_first=is_first)

    def _give_lists(self) -> None:
        part = give_lists(self._data_dir, self.shared_dir)
        if part is not None:
            log.info("part %d of the lists: %.1f MB", part.number, part.size / 1e6)
        if time.monotonic() >= self._clean_at:
            self._clean_at = time.monotonic() + CLEAN_SECONDS
            remove_old_parts(self.shared_dir)

    def _give_key(self) -> None:
        give_key(self._data_dir, self.shared_dir)

    def _take_lists(self) -> None:
        assert self._settings.shard is not None
        taken = take_lists(
            self._data_dir,
            self.shared_dir,
            self._settings.shard,
            self._ranking,
            written=service_manager().alive,
        )
        if taken:
            log.info("%d parts of the lists, up to generation %d", taken, newest_generation(self._data_dir))

    def _take_removals(self) -> None:
        self._removals_taken = take_removals(self._data_dir, self.shared_dir, self._removals_taken)

    def _take_key(self) -> None:
        take_key(self._data_dir, self.shared_dir)

    def _note(self, *, worked: bool) -> None:
        """Say what this machine has and knows, in its data directory and, when the folder is there, to the others."""
        former, shard, now_us = self._state, self._settings.shard, time.time_ns() // 1000
        failing = dict(self._failures)
        generation = newest_generation(self._data_dir)
        is_said = former is not None and (former.own.generation, former.failures) == (generation, failing)
        if is_said and time.monotonic() < self._state_due:
            return
        is_away = "folder" in failing
        manifest = None if is_away else read_manifest(self.shared_dir)
        name, of_shard = machine_name(self._data_dir), "" if shard is None else str(shard)
        known = former.own if former is not None else Machine(name, of_shard, 0, 0, 0, 0)
        part, part_us, behind_us = known.part, known.part_us, 0
        if shard is not None:
            part = taken_part(self._data_dir)
            part_us = known.part_us if known.part == part else now_us if part else 0
            behind_us = known.behind_us if manifest is None else behind_since(manifest, part)
        elif manifest is not None and manifest.parts:
            part, part_us = manifest.parts[-1].number, manifest.parts[-1].made_us
        own = Machine(name, of_shard, generation, part, part_us, now_us, behind_us)
        if manifest is None and former is not None:  # nothing can be seen of the others
            state = replace(former, own=own, failures=failing)
        else:
            state = ExchangeState(
                own,
                former.worked_us if former is not None else 0,
                failing,
                manifest.generation if manifest is not None else 0,
                () if is_away else journal_states(self._data_dir, self.shared_dir),
                known_nodes(self.shared_dir, manifest) if shard is None and not is_away else (),
            )
        if worked:
            state = replace(state, worked_us=now_us)
        state.write(self._data_dir)
        self._state, self._state_due = state, time.monotonic() + STATE_SECONDS
        if not is_away:
            give_state(self.shared_dir, own)
