"""Numbers for people of whom no stream has reported, and who picked posts to begin with.

Owns: giving them numbers in landing.sqlite, which the ranking needs, and noting who got one so. Leaves to others: who
picked (activity.sqlite), and forgetting them (``operate.viewer``).

Everybody else has a number because the network named them. These have a DID in landing.sqlite though nothing public of
them is known: forgetting takes it out again, and so the store must know who they are. The number itself is never given
to anybody else. One costs a sign-in and a hundred bytes (``serving.budgets.limits``).
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import sql
from pipeline.store.actors import ActorIds
from sql import places
from sql.sqlite import connect, has_tables, tables, transaction

CACHE_BYTES = 1 << 20
BUSY_SECONDS = 30.0


def number_pickers(data_dir: Path, dids: Sequence[str]) -> int:
    """Give a number to those of some viewers who picked and have none; return how many."""
    activity, landing = places.activity(data_dir), places.landing(data_dir)
    if not has_tables(activity, "interactions") or not has_tables(landing, "picked_numbers"):
        return 0  # before ingest, or the web app, of this version has begun
    with closing(connect(activity, read_only=True)) as store:
        named = {"dids": json.dumps(list(dids))}
        picked = [did for (did,) in store.execute(sql.load("activity/pickers_among"), named)]
    if not picked:
        return 0
    with closing(connect(landing, busy_seconds=BUSY_SECONDS)) as store:
        known = store.execute(sql.load("landing/actor_ids"), {"dids": json.dumps(picked)}).fetchall()
        new = sorted(set(picked) - {did for did, _ in known})
        if not new:
            return 0
        with transaction(store):
            actors = ActorIds(store, CACHE_BYTES)
            new = sorted(set(new) - actors.known(new).keys())  # ingest may have come upon them meanwhile
            numbers = actors.intern(new)
            store.executemany(
                "INSERT OR IGNORE INTO picked_numbers VALUES (?)", [(numbers[did],) for did in new]
            )
        return len(new)


def is_only_picked(landing: sqlite3.Connection, actor_id: int) -> bool:
    """Tell whether an actor has a number for picking, and landing.sqlite has nothing public of them."""
    if "picked_numbers" not in tables(landing):
        return False
    return bool(landing.execute(sql.load("landing/only_picked"), {"actor_id": actor_id}).fetchall())
