"""The inputs of the newest generation, opened again, to run the ranking's SQL for one viewer.

Owns: the relations of ``sql/batch/inputs.sql`` as views over the copies that a candidates run left, the run's
parameters, and finding a viewer and a post in them. Leaves to others: what runs on them (``viewer_run``).

``stored_records`` has every like record, ``recent_records`` those of the days that a candidates run reads. The files
of ``sql/explain`` pick those that can matter to one viewer, so that the batch's own SQL computes the batch's own
numbers in a moment.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

import sql
from pipeline.batch.analyst_copies import input_tables
from pipeline.batch.inputs import sql_steps
from pipeline.batch.inputs.neighbour_files import newest_in
from pipeline.errors import PipelineError
from pipeline.feeds import Variant
from pipeline.identifiers import POST_COLLECTION, is_did, parse_post_uri
from pipeline.ranking import Ranking, ranking_from, with_own
from pipeline.store.analyst_snapshot import (
    DAILY_LISTS,
    DAILY_POSTS,
    FEED_LISTS,
    FEED_NEIGHBOURS,
    FEED_REPLACED,
    HISTORY_LIKES,
    LIST_CROWDS,
    LIST_DEGREES,
    LIST_POSTS,
    NEIGHBOURS_CLAIMED_LIKES,
    NEIGHBOURS_INTERACTIONS,
    OPEN_LIKES,
    RANKING,
    SNAPSHOT,
    VARIANTS,
    changes_in,
    copies_of_feed,
    copy_of,
    current_snapshot,
    feeds_in,
    likes_since,
)
from pipeline.store.duck import listed, open_duckdb, parquet
from pipeline.store.model import DAY_US, HOUR_US, day_of
from sql import places
from sql.temporary_folders import temporary_folder

MEMORY_MB = 2048
BSKY = "https://bsky.app/profile/"
# The files of sql/explain that pick a viewer's like records, in order.
PICKS = ("people", "own_records", "answered_posts", "wanted_posts", "candidate_records", "seed_records")


# The inputs that ``sql/explain/near.sql`` reduces.
NEAR = ("posts", "actors", "claimed_likes", "withheld")


class ExplainError(PipelineError):
    """A list can't be explained: its viewer or post is not in the store, or that takes more than it may."""


@contextmanager
def within_bounds() -> Iterator[None]:
    """Say in plain words that something needs more than these inputs may take."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise ExplainError(
            "there are too many likes to work this out with the memory and disk that it may take"
        ) from error


class GenerationInputs:
    """A DuckDB over one generation's inputs; close it after use."""

    def __init__(self, data_dir: Path, threads: int, feed: str = "") -> None:
        """Open the inputs of a feed, by its record key; "" is the first."""
        whole = current_snapshot(data_dir)
        if whole is None or not copy_of(whole, SNAPSHOT).exists():
            raise ExplainError(f"no lists yet in {data_dir}: run 'foryou batch' first")
        feeds = feeds_in(whole)
        if feed not in ("", *feeds):
            raise ExplainError(f"no feed {feed}: expected one of {', '.join(feeds)}")
        self._feed = feed or feeds[0]
        # What is the same for all feeds is in the snapshot itself.
        self._snapshot, snapshot = whole, copies_of_feed(whole, self._feed)
        if snapshot == whole and self._feed != feeds[0]:
            raise ExplainError(f"no lists of the feed {feed} yet: run 'foryou batch' first")
        [stamp] = pq.read_table(copy_of(snapshot, SNAPSHOT)).to_pylist()
        self._data_dir, self._copies, self._stamp = data_dir, snapshot, _stamp_of(snapshot)
        self.generation: int = stamp["generation"]
        self.snapshot_us: int = stamp["snapshot_us"]
        parameters = pq.read_table(copy_of(snapshot, RANKING)).to_pylist()
        self.ranking = _ranking({row["name"]: row["value"] for row in parameters})
        # Up to which stream time likes made the neighbours; nothing where no job has, or before a run of this version.
        self.neighbours_us: int = stamp.get("neighbours_us") or self.snapshot_us
        self.variant = ""  # EXPERIMENT/VARIANT, once a viewer is chosen
        self._variants = _variants(copy_of(snapshot, VARIANTS))
        self._spill = temporary_folder("explain")
        self.connection = open_duckdb(self._spill.path, threads, MEMORY_MB)
        try:
            self._make_relations(whole, snapshot)
        except BaseException:
            self.close()
            raise

    def _make_relations(self, whole: Path, snapshot: Path) -> None:
        self.connection.execute(sql.load("batch/inputs"))
        for name in input_tables():
            if name == "own_settings":
                continue
            self.connection.execute(f"ALTER TABLE {name} RENAME TO all_{name}")
            if copy_of(
                snapshot, f"inputs/{name}"
            ).exists():  # not where a run of an earlier version left them
                self.connection.execute(f"DROP TABLE all_{name}")
                self._view(f"all_{name}", copy_of(snapshot, f"inputs/{name}"))
            self.connection.execute(f"CREATE VIEW {name} AS FROM all_{name}")
        self._make_settings(copy_of(snapshot, "inputs/own_settings"))
        made = self.connection.execute("SELECT max(made_us) FROM forecast_trees").fetchone()
        self.forecast_us: int | None = made[0] if made else None
        interactions = copy_of(whole, NEIGHBOURS_INTERACTIONS)
        if not interactions.exists():  # no neighbours job has run
            interactions = copy_of(snapshot, "inputs/interactions")
        self._view("all_neighbours_interactions", interactions)
        known = "FROM all_claimed_likes"
        if copy_of(whole, NEIGHBOURS_CLAIMED_LIKES).exists():
            self._view("older_claimed_likes", copy_of(whole, NEIGHBOURS_CLAIMED_LIKES))
            older = "FROM older_claimed_likes ANTI JOIN all_claimed_likes USING (liker_id, rkey)"
            known += f" UNION ALL {older}"
        self.connection.execute(f"CREATE VIEW known_claimed_likes AS {known}")
        self.connection.execute("CREATE OR REPLACE VIEW claimed_likes AS FROM known_claimed_likes")
        lists = copy_of(whole, f"{FEED_LISTS}/feed={self._feed}/lists").parent
        self.connection.execute(f"CREATE VIEW stored_lists AS {_lists_in(lists)}")
        self._view("stored_list_posts", copy_of(snapshot, LIST_POSTS))
        self._view("known_crowds", copy_of(snapshot, LIST_CROWDS))
        # A run of an earlier version left no forecast.
        later = "SELECT NULL::DOUBLE AS expected, NULL::DOUBLE AS idle_hours WHERE false"
        crowds = f"FROM known_crowds UNION ALL BY NAME {later}"
        self.connection.execute(f"CREATE VIEW all_crowds AS {crowds}")
        self.connection.execute("CREATE VIEW stored_crowds AS FROM all_crowds")
        copies = copy_of(whole, f"{FEED_NEIGHBOURS}/feed={self._feed}/lists").parent
        replaced = copy_of(whole, f"{FEED_REPLACED}/feed={self._feed}/lists")
        self.connection.execute(f"CREATE VIEW stored_neighbours AS {newest_in(copies, replaced)}")
        self.connection.execute(sql.load("lake/macros"))
        self._make_records(snapshot)
        sql_steps.prepare(self.connection, self.ranking, self.snapshot_us)

    def close(self) -> None:
        """Close the DuckDB and remove what it spilled."""
        self.connection.close()
        self._spill.close()

    def is_newest(self) -> bool:
        """Tell whether the newest lists are still those of these inputs, whose files are kept so long."""
        newest = current_snapshot(self._data_dir)
        try:
            if newest is None or not self._snapshot.exists():
                return False
            return self._stamp == _stamp_of(copies_of_feed(newest, self._feed))
        except FileNotFoundError:
            return False

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Run a file of ``sql/explain`` that returns rows."""
        found = self.connection.execute(sql.load(f"explain/{name}"))
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def run(self, *names: str) -> None:
        """Run files of ``sql/explain`` that make tables."""
        for name in names:
            self.connection.execute(sql.load(f"explain/{name}"))

    def use_lists_of(self, days_ago: int) -> None:
        """Let ``stored_lists`` be those that a day began with; ExplainError when that day's are not kept."""
        day = places.day_name(day_of(self.snapshot_us) - days_ago)
        files = {
            name: copy_of(self._snapshot, f"{folder}/feed={self._feed}/day={day}")
            for name, folder in (("stored_lists", DAILY_LISTS), ("stored_list_posts", DAILY_POSTS))
        }
        if not all(path.exists() for path in files.values()):
            raise ExplainError(
                f"no lists of {day} are kept: a week of them is, from when they were first made"
            )
        for name, path in files.items():
            self._view(name, path)

    def find_viewer(self, text: str) -> tuple[int, str]:
        """Return the number and DID of the actor whose DID the text is, or a part of; ExplainError unless it is one."""
        query = "SELECT actor_id, did FROM all_actors WHERE did = ?"
        found = self.connection.execute(query, [text]).fetchall()
        if not found and not is_did(text):
            query = "SELECT actor_id, did FROM all_actors WHERE contains(did, ?) ORDER BY did LIMIT 6"
            found = self.connection.execute(query, [text.removeprefix(BSKY)]).fetchall()
        if not found:
            raise ExplainError(
                f"nobody in the store is called {text!r}: give a DID or a part of one (handles are not stored); "
                "who is new is known after the next run for everybody"
            )
        if len(found) > 1:
            names = ", ".join(row[1] for row in found[:5]) + (", …" if len(found) > 5 else "")
            raise ExplainError(f"{text!r} may be any of {names}")
        return found[0]

    def find_post(self, text: str) -> tuple[int, int]:
        """Return (author_id, rkey) of a post named by at-uri or bsky.app address; ExplainError for other texts."""
        path = text.removeprefix("at://")
        if text.startswith(BSKY):
            path = text.removeprefix(BSKY).split("?")[0].split("#")[0].rstrip("/")
            path = path.replace("/post/", f"/{POST_COLLECTION}/")
        parsed = parse_post_uri(f"at://{path}")
        if parsed is None:
            raise ExplainError(
                f"{text!r} is not a post: give at://DID/{POST_COLLECTION}/… or {BSKY}DID/post/… "
                "(with the DID: handles are not stored)"
            )
        author, rkey = parsed
        return self.find_viewer(author)[0], rkey

    def choose_variant(self, did: str, *, public: bool = False) -> None:
        """Take the parameters and the generation of the viewer's lists, which an experiment or they may have changed.

        With ``public``, it is as if they had set nothing.
        """
        if public:
            self.connection.execute("CREATE OR REPLACE VIEW own_settings AS FROM no_settings")
        query = (
            "SELECT viewer_did, ranking FROM stored_settings SEMI JOIN own_settings USING (viewer_did) "
            "WHERE viewer_did = ?"
        )
        own = dict(self.connection.execute(query, [did]).fetchall())
        for variant, generation in self._variants:
            if variant.has(did, own):
                self.ranking = with_own(variant.ranking, json.loads(own.get(did) or "{}"))
                self.variant, self.generation = variant.label, generation
                sql_steps.prepare(self.connection, self.ranking, self.snapshot_us)
                crowds = f"FROM all_crowds WHERE generation = {generation}"
                self.connection.execute(f"CREATE OR REPLACE VIEW stored_crowds AS {crowds}")
                return

    def restrict(self, viewer_id: int, did: str, post: tuple[int, int] | None) -> None:
        """Make the inputs those of this viewer and, unless it is None, of a post; ``run(*PICKS)`` picks the likes."""
        execute = self.connection.execute
        execute("SET VARIABLE viewer_id = ?", [viewer_id])
        execute("CREATE OR REPLACE TABLE explained_post (author_id INTEGER, rkey BIGINT)")
        if post is not None:
            execute("INSERT INTO explained_post VALUES (?, ?)", list(post))
        for name in ("interactions", "visits", "neighbours_interactions"):
            rows = f"FROM all_{name} WHERE viewer_did = $did"
            execute(f"CREATE OR REPLACE TABLE my_{name} AS {rows}", {"did": did})
        self.use_interactions("interactions")
        execute("CREATE OR REPLACE VIEW visits AS FROM my_visits")
        rows = "FROM stored_neighbours WHERE viewer_id = $viewer"
        execute(f"CREATE OR REPLACE TABLE viewer_neighbours AS {rows}", {"viewer": viewer_id})
        [(made_us,)] = execute("SELECT max(snapshot_us) FROM viewer_neighbours").fetchall()
        self.neighbours_us = made_us or self.neighbours_us
        execute("CREATE OR REPLACE TABLE found_neighbours AS FROM viewer_neighbours")
        self.use_neighbours(self.ranking.max_neighbours)

    def use_neighbours(self, most: int) -> None:
        """Let so many of the found neighbours count; what the others weigh goes to the crowd."""
        execute = self.connection.execute
        others = "SELECT coalesce(sum(weight::DOUBLE), 0) FROM found_neighbours WHERE rank > $most"
        kept = f"SELECT * REPLACE ((left_out + ({others}))::FLOAT AS left_out) FROM found_neighbours"
        query = f"CREATE OR REPLACE TABLE viewer_neighbours AS {kept} WHERE rank <= $most"
        execute(query, {"most": most})
        execute("CREATE OR REPLACE TABLE neighbours AS FROM viewer_neighbours")

    def use_degrees(self) -> bool:
        """Give the SQL everybody's number of likes by the last full pass; return whether there was one."""
        path = copy_of(self._copies, LIST_DEGREES)
        if path.exists():
            self.connection.execute("DROP TABLE IF EXISTS degrees")
            self._view("degrees", path)
        return path.exists()

    def use_near(self, records: str) -> None:
        """Reduce the other inputs to what these like records name, so that reading them takes no time that shows."""
        self.connection.execute(f"CREATE OR REPLACE VIEW records AS FROM {records}")
        self.run("near")
        for name in NEAR:
            self.connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM near_{name}")

    def use_language(self, language: str) -> None:
        """Let only posts count that name a language, of two or three letters; all for ''."""
        named = f"WHERE list_contains(string_split(langs, ','), '{language}')" if language else ""
        self.connection.execute(f"CREATE OR REPLACE VIEW posts AS FROM near_posts {named}")

    def use_interactions(self, name: str) -> None:
        """Set which of the viewer's interactions the batch's SQL sees: the table ``my_NAME``."""
        self.connection.execute(f"CREATE OR REPLACE VIEW interactions AS FROM my_{name}")

    def use_records(self, name: str, snapshot_us: int, window_hours: float) -> None:
        """Set which like records the batch's SQL sees, its snapshot, and how far back its likes go."""
        self.connection.execute(f"CREATE OR REPLACE VIEW records AS FROM {name}")
        self.run("like_records")
        window = {"snapshot_us": snapshot_us, "window_hours": window_hours}
        sql_steps.set_variables(self.connection, window)

    def _make_settings(self, path: Path) -> None:
        """Make ``stored_settings``, and ``own_settings`` without the parameters, which ``ranking`` has."""
        execute = self.connection.execute
        execute("ALTER TABLE own_settings RENAME TO no_settings")
        stored = f"UNION ALL BY NAME FROM {parquet(path)}" if path.exists() else ""
        execute(f"CREATE VIEW stored_settings AS FROM no_settings {stored}")
        execute(
            "CREATE VIEW own_settings AS SELECT * REPLACE (NULL::VARCHAR AS ranking) FROM stored_settings"
        )

    def _make_records(self, snapshot: Path) -> None:
        """Make ``stored_records``, ``recent_records`` and ``changes``; sql/explore/views.sql does it for analysts."""
        self.connection.execute("DROP TABLE like_records; DROP TABLE changes")
        files = parquet(*changes_in(self._snapshot, self._feed), by_name=True)
        self.connection.execute(
            f"CREATE VIEW changes AS SELECT liker_id, rkey, rev FROM {files} WHERE NOT settled"
        )
        first_day = day_of(self.neighbours_us) - self.ranking.seed_window_days
        first_recent = day_of(int(self.snapshot_us - self.ranking.post_max_age_hours * HOUR_US))
        history = copy_of(self._snapshot, HISTORY_LIKES)
        for name, first in (("recent_records", first_recent), ("stored_records", first_day)):
            parts = [f"SELECT *, true AS open FROM lake_likes({listed(copy_of(snapshot, OPEN_LIKES))})"]
            closed = likes_since(self._snapshot, first)
            if closed:
                parts.append(f"SELECT *, false AS open FROM lake_likes({listed(*closed)})")
            if name == "stored_records" and history.exists():
                older = f"WHERE seen_us < {first_recent * DAY_US}"
                parts.append(f"SELECT *, true AS open FROM lake_likes({listed(history)}) {older}")
            self.connection.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(parts)}")

    def _view(self, name: str, *files: Path) -> None:
        self.connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM {parquet(*files)}")


def _lists_in(folder: Path) -> str:
    """Return a query for the lists of a feed, GENERATION-NUMBER.parquet, with their generation (as in views.sql)."""
    return (
        "SELECT COLUMNS(lambda c: c NOT IN ('filename', 'generation')), "
        r"regexp_extract(filename, '(\d+)-\d+\.parquet$', 1)::INTEGER AS generation "
        f"FROM read_parquet({listed(*sorted(folder.glob('*.parquet')))}, union_by_name = true, filename = true)"
    )


def _ranking(values: Mapping[str, Any]) -> Ranking:
    """Return a run's parameters; those it did not know keep their defaults."""
    kinds: Mapping[str, Any] = {item.name: item.type for item in fields(Ranking)}
    known = {name: value for name, value in values.items() if name in kinds}
    return ranking_from({name: int(value) if kinds[name] is int else value for name, value in known.items()})


def _variants(path: Path) -> list[tuple[Variant, int]]:
    """Return the variants of the newest run, and the generation of each."""
    return [
        (
            Variant(row["experiment"], row["name"], _ranking(row), row["from_share"], row["until_share"]),
            row["generation"],
        )
        for row in pq.read_table(path).to_pylist()
    ]


def _stamp_of(snapshot: Path) -> tuple[int, int]:
    """Return what tells the lists of a snapshot from others: which file says when they were made."""
    found = copy_of(snapshot, SNAPSHOT).stat()
    return found.st_ino, found.st_mtime_ns
