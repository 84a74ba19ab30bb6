"""The raw stores as Polars frames: SQLite and Parquet as the processes left them, without our SQL, views or copies.

Owns: ``RawFrames``, by the rules that ARCHITECTURE.md states. Leaves to others: questions (``test_sql_polars``).
"""

import sqlite3
from contextlib import closing
from functools import cached_property
from pathlib import Path

import polars as pl
from batch_tools import stored_neighbours
from list_bytes import unpack

from pipeline.identifiers import post_uri
from pipeline.ranking import Ranking

HOUR_US = 3_600_000_000
WORD = ["liker_id", "rkey", "rev", "author_id", "post_rkey", "seen_us"]


class RawFrames:
    """Frames of one data directory, up to a stream time."""

    def __init__(self, data_dir: Path, now_us: int) -> None:
        self.data_dir, self.now_us = data_dir, now_us

    def table(self, store: str, query: str) -> pl.DataFrame:
        """Return the rows of a query of one table of a SQLite store."""
        with closing(sqlite3.connect(self.data_dir / f"{store}.sqlite")) as connection:
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description]
            return pl.DataFrame(cursor.fetchall(), names, orient="row", infer_schema_length=None)

    def parquet(self, pattern: str) -> pl.DataFrame:
        """Return the rows of files of the lake."""
        paths = sorted((self.data_dir / "lake").glob(pattern))
        return pl.concat(
            [pl.read_parquet(path, hive_partitioning=False) for path in paths], how="vertical_relaxed"
        )

    @cached_property
    def actors(self) -> pl.DataFrame:
        return self.table("landing", "SELECT actor_id, did, status, deleted_us FROM actors")

    @cached_property
    def likes(self) -> pl.DataFrame:
        """Likes that count, one a (liker, post): of all words about a record the greatest rev wins."""
        made_us = pl.col("post_rkey") // 1024
        key = (made_us + pl.col("since_post_us") + pl.col("lag_us")) * 1024 + pl.col("clock")
        lake = self.parquet("likes/day=*/likes.parquet").with_columns(
            rkey=key, rev=key, seen_us=made_us + pl.col("since_post_us")
        )
        changes = self.parquet("changes/day=*/*.parquet")
        landed = self.table("landing", f"SELECT {', '.join(WORD)} FROM like_words")
        words = pl.concat([part.select(pl.col(WORD).cast(pl.Int64)) for part in (lake, changes, landed)])
        last = words.sort("rev").unique(["liker_id", "rkey"], keep="last")
        statements = self.table(
            "landing", "SELECT actor_id AS liker_id, from_rkey, rev AS void_rev FROM statements"
        )
        void = last.join(statements, on="liker_id").filter(
            (pl.col("void_rev") > pl.col("rev")) & (pl.col("from_rkey") <= pl.col("rkey"))
        )
        last = last.join(void, on=["liker_id", "rkey"], how="anti").drop_nulls("author_id")
        hidden = self.actors.filter((pl.col("status") != 0) | (pl.col("deleted_us") > 0)).select(
            "actor_id", hidden_us=pl.when(pl.col("status") != 0).then(2**62).otherwise(pl.col("deleted_us"))
        )
        for column, when in (("liker_id", pl.col("seen_us")), ("author_id", made_us)):
            last = last.join(hidden, left_on=column, right_on="actor_id", how="left")
            last = last.filter(pl.col("hidden_us").fill_null(-1) < when).drop("hidden_us")
        deleted = self.table(
            "landing", "SELECT author_id, rkey AS post_rkey FROM posts WHERE deleted_rev >= rev"
        )
        last = last.join(deleted, on=["author_id", "post_rkey"], how="anti")
        return last.filter((pl.col("liker_id") != pl.col("author_id")) & (pl.col("seen_us") <= self.now_us))

    def since(self, hours: float) -> pl.DataFrame:
        """Likes of the last hours: the earliest of each (liker, post) in the span, with names."""
        span = self.likes.filter(pl.col("seen_us") > self.now_us - int(hours * HOUR_US))
        span = span.group_by("liker_id", "author_id", "post_rkey").agg(pl.col("seen_us").min())
        names = self.actors.select("actor_id", "did")
        span = span.join(names.rename({"did": "liker"}), left_on="liker_id", right_on="actor_id")
        span = span.join(names.rename({"did": "author"}), left_on="author_id", right_on="actor_id")
        posts = [post_uri(*row) for row in span.select("author", "post_rkey").iter_rows()]
        return span.with_columns(post=pl.Series(posts, dtype=pl.String), at=pl.from_epoch("seen_us", "us"))

    def lists(self, feed: str) -> pl.DataFrame:
        """A feed's newest list of each viewer: viewer, place, post."""
        rows = self.table(
            "serving",
            "SELECT v.did AS viewer, l.generation, l.items FROM lists AS l JOIN feeds AS f USING (feed_id) "
            f"JOIN viewers AS v USING (viewer_id) WHERE f.rkey = '{feed}'",
        )
        newest = rows.sort("generation").unique("viewer", keep="last")
        # The web app has a list for a day longer than its viewer has a neighbour who likes something.
        near = pl.DataFrame(stored_neighbours(self.data_dir).select(["viewer_id", "neighbour_id"]))
        lately = self.since(Ranking().candidate_window_hours).select(pl.col("liker_id").unique())
        near = near.cast(pl.Int64).join(lately, left_on="neighbour_id", right_on="liker_id", how="semi")
        near = near.join(self.actors, left_on="viewer_id", right_on="actor_id")
        newest = newest.join(near, left_on="viewer", right_on="did", how="semi")
        uris = dict(self.table("serving", "SELECT post_id, uri FROM posts").iter_rows())
        found: list[tuple[str, int, str]] = [
            (viewer, place, uris[item[0]])
            for viewer, _, items in newest.iter_rows()
            for place, item in enumerate(unpack(items), 1)
        ]
        return pl.DataFrame(found, ["viewer", "place", "post"], orient="row")

    @cached_property
    def impressions(self) -> pl.DataFrame:
        """What was served: of closed days in the lake, of the others in activity.sqlite."""
        columns = ["viewer_did", "post_uri", "feed_rkey", "position", "source", "served_us", "variant"]
        closed = self.parquet("impressions/day=*/impressions.parquet").select(columns)
        open_days = self.table("activity", f"SELECT {', '.join(columns)} FROM impressions")
        in_lake = closed.select((pl.col("served_us") // (24 * HOUR_US)).unique().alias("day"))
        day = pl.col("served_us") // (24 * HOUR_US)
        open_days = open_days.filter(~day.is_in(in_lake["day"].implode()))
        return pl.concat([closed, open_days], how="vertical_relaxed").with_columns(
            at=pl.from_epoch("served_us", "us"),
            source=pl.col("source").replace_strict(
                {1: "co-likers", 2: "popular", 3: "trial"}, return_dtype=pl.String
            ),
        )

    def outcomes(self, days: float, within_hours: float = 24.0) -> pl.DataFrame:
        """First impressions of each (feed, viewer, post) in the span, with liked, less and ripe."""
        since_us = self.now_us - int(24 * days * HOUR_US)
        key = ["feed_rkey", "viewer_did", "post_uri"]
        shown = self.impressions.filter(pl.col("served_us").is_between(since_us + 1, self.now_us))
        first = shown.sort("served_us").unique(key, keep="first")
        likes = self.since(24 * days).select(viewer_did="liker", post_uri="post", liked_us="seen_us")
        answers = self.table("activity", f"SELECT DISTINCT {', '.join(key)}, event FROM interactions")
        less = answers.filter(pl.col("event") == "requestLess").select(*key, less=True)
        first = first.join(likes, on=["viewer_did", "post_uri"], how="left").join(less, on=key, how="left")
        until_us = pl.col("served_us") + int(within_hours * HOUR_US)
        return first.with_columns(
            pl.col("less").fill_null(False),
            liked=pl.col("liked_us").is_between(pl.col("served_us"), until_us).fill_null(False),
            ripe=until_us <= self.now_us,
        )
