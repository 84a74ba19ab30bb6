"""The inputs of the newest generation, opened again: what ``explain_command`` starts from.

Owns: the relations of ``sql/batch/inputs.sql`` as views over the copies a candidates run left, its parameters,
and finding a viewer and a post in them. Leaves to others: what is worked out of them (``explain_command``).

``stored_records`` holds every like record, ``recent_records`` those of the days a candidates run reads;
``restrict`` picks those that can matter to one viewer, by ``sql/explain``, so that the batch's own SQL gives
the batch's numbers in a moment.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

import sql
from pipeline.batch.analyst_copies import input_tables
from pipeline.batch.inputs import sql_steps
from pipeline.errors import PipelineError
from pipeline.feeds import Variant
from pipeline.identifiers import is_did, tid_to_int
from pipeline.ranking import Ranking, ranking_from
from pipeline.store.analyst_snapshot import (
    HISTORY_LIKES,
    LIST_ARRIVED,
    LIST_CROWDS,
    LIST_NEIGHBOURS,
    LIST_POSTS,
    LISTS,
    NEIGHBOURS_INTERACTIONS,
    OPEN_LIKES,
    RANKING,
    SNAPSHOT,
    VARIANTS,
    copy_of,
    current_snapshot,
    likes_since,
    tombstones,
)
from pipeline.store.duck import count, parquet, quoted
from pipeline.store.model import DAY_US, HOUR_US, day_of

BSKY = "https://bsky.app/profile/"


class ExplainError(PipelineError):
    """What is asked about is not in the store."""


class Inputs:
    """A DuckDB over one generation's inputs; close it after use."""

    def __init__(self, data_dir: Path, threads: int) -> None:
        snapshot = current_snapshot(data_dir)
        if snapshot is None or not copy_of(snapshot, SNAPSHOT).exists():
            raise ExplainError(f"no lists yet in {data_dir}: run 'foryou batch' first")
        stamp = pq.read_table(copy_of(snapshot, SNAPSHOT)).to_pylist()[0]
        self.generation: int = stamp["generation"]
        self.snapshot_us: int = stamp["snapshot_us"]
        self.ranking = _ranking(copy_of(snapshot, RANKING))
        self.neighbours_us = _neighbours_time(copy_of(snapshot, LIST_NEIGHBOURS)) or self.snapshot_us
        self.variant = ""  # of an experiment, once a viewer is chosen
        self._variants = _variants(copy_of(snapshot, VARIANTS))
        self.connection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self.connection.execute(sql.load("batch/inputs"))
        self.connection.execute("DROP TABLE like_records")
        for name in input_tables():
            self.connection.execute(f"DROP TABLE {name}")
            self._view(f"all_{name}", [copy_of(snapshot, f"inputs/{name}")])
            self.connection.execute(f"CREATE VIEW {name} AS FROM all_{name}")
        asked = copy_of(snapshot, NEIGHBOURS_INTERACTIONS)
        asked = asked if asked.exists() else copy_of(snapshot, "inputs/interactions")
        self._view("all_neighbours_interactions", [asked])
        self._view("stored_lists", [copy_of(snapshot, LISTS)])
        self._view("stored_list_posts", [copy_of(snapshot, LIST_POSTS)])
        self._view("all_crowds", [copy_of(snapshot, LIST_CROWDS)])
        self.connection.execute("CREATE VIEW stored_crowds AS FROM all_crowds")
        near, arrived = copy_of(snapshot, LIST_NEIGHBOURS), copy_of(snapshot, LIST_ARRIVED)
        self._view("stored_neighbours", [near])
        arrived = arrived if arrived.exists() else near
        self._view("stored_arrived", [arrived])
        self.connection.execute(sql.load("lake/macros"))
        self._records(snapshot)
        sql_steps.prepare(self.connection, self.ranking, self.snapshot_us)

    def close(self) -> None:
        """Close the DuckDB."""
        self.connection.close()

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Run a file of ``sql/explain`` that returns rows."""
        found = self.connection.execute(sql.load(f"explain/{name}"))
        heads = [column[0] for column in found.description or []]
        return [dict(zip(heads, row, strict=True)) for row in found.fetchall()]

    def run(self, name: str) -> None:
        """Run a file of ``sql/explain`` that makes a table."""
        self.connection.execute(sql.load(f"explain/{name}"))

    def find_viewer(self, text: str) -> tuple[int, str]:
        """Return the number and the DID that a DID, or a part of one, names; ExplainError when it is not one."""
        query = "SELECT actor_id, did FROM all_actors WHERE did = ?"
        found = self.connection.execute(query, [text]).fetchall()
        if not found and not is_did(text):
            query = "SELECT actor_id, did FROM all_actors WHERE contains(did, ?) ORDER BY did LIMIT 6"
            found = self.connection.execute(query, [text.removeprefix(BSKY)]).fetchall()
        if not found:
            raise ExplainError(
                f"nobody in the store is called {text!r}: give a DID or a part of one (handles are not stored)"
            )
        if len(found) > 1:
            names = ", ".join(row[1] for row in found[:5]) + (", …" if len(found) > 5 else "")
            raise ExplainError(f"{text!r} may be any of {names}")
        return found[0]

    def choose_variant(self, did: str) -> None:
        """Take the parameters and the generation of the viewer's lists, which an experiment may have changed."""
        for variant, generation in self._variants:
            if variant.has(did):
                self.variant, self.ranking, self.generation = variant.label, variant.ranking, generation
                sql_steps.prepare(self.connection, self.ranking, self.snapshot_us)
                query = (
                    f"CREATE OR REPLACE VIEW stored_crowds AS FROM all_crowds WHERE generation = {generation}"
                )
                self.connection.execute(query)
                return

    def find_post(self, text: str) -> tuple[int, int]:
        """Return (author_id, rkey) of a post named by at-uri or bsky.app address; ExplainError for another."""
        if text.startswith(BSKY):
            author, _, rest = text.removeprefix(BSKY).partition("/post/")
            key = rest.split("?")[0].split("#")[0].strip("/")
        else:
            author, _, key = text.removeprefix("at://").partition("/app.bsky.feed.post/")
        rkey = tid_to_int(key)
        if rkey is None or not is_did(author):
            raise ExplainError(
                f"{text!r} is no post: give at://DID/app.bsky.feed.post/… or {BSKY}DID/post/… "
                "(with the DID: handles are not stored)"
            )
        return self.find_viewer(author)[0], rkey

    def restrict(self, viewer_id: int, did: str, asked: tuple[int, int] | None) -> None:
        """Make the inputs those of this viewer, and of the post asked about; ``gather`` picks the likes."""
        execute = self.connection.execute
        execute("SET VARIABLE viewer_id = ?", [viewer_id])
        self.ask(asked)
        for name in ("interactions", "visits", "neighbours_interactions"):
            execute(
                f"CREATE OR REPLACE TABLE my_{name} AS FROM all_{name} WHERE viewer_did = $did", {"did": did}
            )
        self.answer("interactions")
        execute("CREATE OR REPLACE VIEW visits AS FROM my_visits")
        execute(
            "CREATE OR REPLACE TABLE viewer_neighbours AS FROM stored_arrived WHERE viewer_id = $viewer",
            {"viewer": viewer_id},
        )
        if count(self.connection, "viewer_neighbours") == 0:
            execute(
                "CREATE OR REPLACE TABLE viewer_neighbours AS FROM stored_neighbours WHERE viewer_id = $viewer",
                {"viewer": viewer_id},
            )
        made = execute("SELECT max(snapshot_us) FROM viewer_neighbours").fetchone()
        self.neighbours_us = (made and made[0]) or self.neighbours_us
        execute("CREATE OR REPLACE TABLE neighbours AS FROM viewer_neighbours")

    def gather(self) -> None:
        """Pick the like records that can matter to the viewer, from ``viewer_neighbours`` and ``interactions``."""
        for name in (
            "people",
            "own_records",
            "answered_posts",
            "wanted_posts",
            "candidate_records",
            "seed_records",
        ):
            self.run(name)

    def ask(self, asked: tuple[int, int] | None) -> None:
        """Make ``asked_post``, empty when no post is asked about."""
        execute = self.connection.execute
        execute("CREATE OR REPLACE TABLE asked_post (author_id INTEGER, rkey BIGINT)")
        if asked is not None:
            execute("INSERT INTO asked_post VALUES (?, ?)", list(asked))

    def answer(self, name: str) -> None:
        """Set which of the viewer's interactions the batch's SQL sees: the table ``my_NAME``."""
        self.connection.execute(f"CREATE OR REPLACE VIEW interactions AS FROM my_{name}")

    def look(self, records: str, time_us: int, window_hours: float) -> None:
        """Set which like records the batch's SQL sees, its snapshot, and how far back its likes go."""
        self.connection.execute(f"CREATE OR REPLACE VIEW records AS FROM {records}")
        self.run("like_records")
        sql_steps.set_variables(self.connection, {"snapshot_us": time_us, "window_hours": window_hours})

    def _records(self, snapshot: Path) -> None:
        """Make ``stored_records``, ``recent_records`` and ``unlikes``: sql/explore/views.sql says it of analysts."""
        self.connection.execute("DROP TABLE unlikes")
        self._view("unlikes", tombstones(snapshot))
        first_day = day_of(self.neighbours_us) - self.ranking.seed_window_days
        first_recent = day_of(int(self.snapshot_us - self.ranking.post_max_age_hours * HOUR_US))
        history = copy_of(snapshot, HISTORY_LIKES)
        for name, first in (("recent_records", first_recent), ("stored_records", first_day)):
            parts = [f"SELECT *, true AS open FROM lake_likes({_files(copy_of(snapshot, OPEN_LIKES))})"]
            closed = likes_since(snapshot, first)
            if closed:
                parts.append(f"SELECT *, false AS open FROM lake_likes({_files(*closed)})")
            if name == "stored_records" and history.exists():
                older = f"WHERE seen_us < {first_recent * DAY_US}"
                parts.append(f"SELECT *, true AS open FROM lake_likes({_files(history)}) {older}")
            self.connection.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(parts)}")

    def _view(self, name: str, files: list[Path]) -> None:
        self.connection.execute(f"CREATE VIEW {name} AS FROM {parquet(*files)}")


def hours(from_us: int, to_us: int) -> float:
    """Return the hours from one time to another."""
    return (to_us - from_us) / HOUR_US


def _files(*paths: Path) -> str:
    return f"[{', '.join(map(quoted, paths))}]"


def _ranking(path: Path) -> Ranking:
    """Return the parameters a run had; those it did not know keep their defaults."""
    return _known({row["name"]: row["value"] for row in pq.read_table(path).to_pylist()})


def _known(values: Mapping[str, Any]) -> Ranking:
    kinds: Mapping[str, Any] = {item.name: item.type for item in fields(Ranking)}
    known = {name: value for name, value in values.items() if name in kinds}
    return ranking_from({name: int(value) if kinds[name] is int else value for name, value in known.items()})


def _variants(path: Path) -> list[tuple[Variant, int]]:
    """Return whose lists were made by which parameters, and their generations."""
    rows = pq.read_table(path).to_pylist() if path.exists() else []
    return [
        (
            Variant(row["experiment"], row["name"], _known(row), row["from_share"], row["until_share"]),
            row["generation"],
        )
        for row in rows
    ]


def _neighbours_time(path: Path) -> int | None:
    """Return the stream time the neighbours were made from, None in a file that does not say."""
    if not path.exists():
        raise ExplainError("no neighbours yet: run 'foryou batch' first")
    metadata = pq.read_schema(path).metadata or pq.read_metadata(path).metadata or {}
    text = metadata.get(b"snapshot_us")
    return None if text is None else int(text)
