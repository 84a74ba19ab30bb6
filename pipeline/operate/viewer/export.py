"""All that is known about one viewer, as plain values for JSON.

Owns: gathering it from every store. Leaves to others: printing it (``command``), and reading lists, which the web app
does. Everything is read only. Times are in ISO 8601 (UTC).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

import sql
from pipeline.lake.held import held_lake
from pipeline.lake.reader import read_like_records
from pipeline.settings import Settings
from pipeline.store.arrow import reading
from pipeline.store.duck import open_duckdb, parquet
from pipeline.store.model import day_of
from sql import places
from sql.sqlite import has_tables, rows_of
from sql.temporary_folders import TemporaryFolder

MEMORY_MB = 1024
SOURCES = {1: "co-likers", 2: "popular", 3: "trial"}
ANSWERS = {"requestLess": "show less", "requestMore": "show more", "pick": "picked"}


class ReadLists(Protocol):
    """Returns a viewer's newest lists by feed."""

    def __call__(self, path: Path, feeds: tuple[str, ...], viewer: str, /) -> Mapping[str, Any]:
        """Return them as plain values."""


def export(settings: Settings, did: str, lists: ReadLists) -> dict[str, Any]:
    """Return what is known about a viewer."""
    data_dir = settings.data_dir
    return {
        "did": did,
        "public_likes": _likes(data_dir, did),
        "fetched_from_repository": _fetched(data_dir, did),
        "visits": _visits(data_dir, did),
        "interactions": _interactions(data_dir, did),
        "shown": _shown(data_dir, did),
        "lists": lists(places.serving(data_dir), settings.feed_rkeys, did),
        "settings": _settings(data_dir, did),
    }


@contextmanager
def _duckdb(data_dir: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    beginning = places.viewer_working(data_dir)
    with (
        TemporaryFolder(beginning.name, beginning.parent) as folder,
        open_duckdb(folder, 2, MEMORY_MB) as connection,
    ):
        yield connection


def _likes(data_dir: Path, did: str) -> dict[str, Any]:
    """Return how many public likes are stored, and of what time."""
    path = places.landing(data_dir)
    none = {"count": 0, "first": None, "last": None}
    if not has_tables(path, "like_words"):
        return none
    with _duckdb(data_dir) as connection, reading(path) as reader:
        actor_id = reader.number(f"SELECT actor_id FROM actors WHERE did = {_text(did)}")
        if not actor_id:
            return none
        with held_lake(data_dir) as held:
            read_like_records(connection, reader, held, 0, actor_id)
            query = (
                "SELECT count(DISTINCT (author_id, post_rkey)), min(seen_us), max(seen_us) "
                "FROM like_records WHERE liker_id = ?"
            )
            found = connection.execute(query, [actor_id]).fetchall()[0]
    return {"count": found[0], "first": _iso(found[1]), "last": _iso(found[2])}


def _fetched(data_dir: Path, did: str) -> dict[str, Any] | None:
    query = "SELECT fetched_us, likes, outcome, host FROM fetched_viewers WHERE did = :did"
    rows = rows_of(places.landing(data_dir), query, {"did": did})
    if not rows:
        return None
    fetched_us, likes, outcome, host = rows[0]
    return {"at": _iso(fetched_us), "likes": likes, "outcome": outcome, "host": host}


def _visits(data_dir: Path, did: str) -> list[dict[str, Any]]:
    query = "SELECT feed_rkey, languages, pages, first_us, last_us FROM visits WHERE viewer_did = :did"
    return [
        {"feed": feed, "languages": languages, "pages": pages, "first": _iso(first), "last": _iso(last)}
        for feed, languages, pages, first, last in rows_of(places.activity(data_dir), query, {"did": did})
    ]


def _interactions(data_dir: Path, did: str) -> list[dict[str, Any]]:
    query = "SELECT received_us, event, post_uri, feed_rkey FROM interactions WHERE viewer_did = :did ORDER BY 1, 2, 3"
    return [
        {"at": _iso(at), "event": ANSWERS.get(event, event), "post": post, "feed": feed}
        for at, event, post, feed in rows_of(places.activity(data_dir), query, {"did": did})
    ]


def _settings(data_dir: Path, did: str) -> dict[str, Any]:
    query = "SELECT settings, changed_us FROM viewer_settings WHERE viewer_did = :did"
    rows = rows_of(places.activity(data_dir), query, {"did": did})
    return {**json.loads(rows[0][0]), "changed": _iso(rows[0][1])} if rows else {}


def _shown(data_dir: Path, did: str) -> list[dict[str, Any]]:
    """Return what was shown: the days in the lake, then those that are in activity.sqlite alone."""
    in_lake = places.impression_days(data_dir)
    rows: list[tuple[Any, ...]] = []
    files = [places.impressions(data_dir, day) for day in sorted(in_lake)]
    if files:
        with _duckdb(data_dir) as connection:
            query = (
                "SELECT post_uri, feed_rkey, generation, position, source, served_us, variant "
                f"FROM {parquet(*files)} WHERE viewer_did = ? ORDER BY served_us, position"
            )
            rows = connection.execute(query, [did]).fetchall()
    newer = rows_of(places.activity(data_dir), sql.load("activity/pages_shown"), {"viewer_did": did})
    rows += [row for row in newer if day_of(row[5]) not in in_lake]
    return [
        {
            "at": _iso(at),
            "post": post,
            "feed": feed,
            "position": position,
            "source": SOURCES.get(source, source),
            "generation": generation,
            "experiment": variant or None,
        }
        for post, feed, generation, position, source, at, variant in rows
    ]


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
