"""Data sets as others publish them, small: MovieLens (CSV), MIND (TSV), and Parquet with texts as ids."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

START = datetime(2019, 11, 9, tzinfo=UTC)


def likes(count: int = 1500, days: float = 4.0) -> pl.DataFrame:
    """Return likes of 60 people: user, item, at; sorted by time, what is new is liked most."""
    rng = np.random.default_rng(4)
    hours = np.sort(rng.uniform(0, 24 * days, count))
    items = np.maximum(0, hours * 2 - rng.exponential(12, count)).astype(int)
    frame = {
        "user": rng.integers(0, 60, count),
        "item": items,
        "at": [START + timedelta(seconds=int(hour * 3600)) for hour in hours],
    }
    return pl.DataFrame(frame).unique(["user", "item"], keep="first", maintain_order=True)


LIKES = likes()
SECONDS = LIKES["at"].dt.epoch("s")


def movielens(path: Path) -> Path:
    """As ratings.csv of MovieLens: userId, movieId, rating, timestamp in seconds."""
    frame = LIKES.select(userId=pl.col("user") + 1, movieId=pl.col("item") * 7, rating=pl.lit(4.5))
    frame.with_columns(timestamp=SECONDS).write_csv(path)
    return path


def mind(path: Path) -> Path:
    """As behaviors.tsv of MIND: no header; a page a line, with earlier clicks and what was shown and clicked."""
    lines = []
    for number, (user, item, at) in enumerate(LIKES.iter_rows(), 1):
        when = f"{at.month}/{at.day}/{at.year} {at:%I:%M:%S %p}"
        lines.append(f"{number}\tU{user}\t{when}\tN1 N2 N{item}\tN{item + 1}-0 N{item}-1 N{item + 2}-0")
    path.write_text("\n".join(lines) + "\n")
    return path


def texts(path: Path) -> Path:
    """Parquet with DIDs and URIs, times with a zone."""
    frame = LIKES.select(
        created_at=pl.col("at"),
        actor_did=pl.format("did:plc:{}", pl.col("user").cast(pl.String).str.zfill(24)),
        post_uri=pl.format("at://did:plc:a/app.bsky.feed.post/{}", pl.col("item")),
    )
    frame.write_parquet(path)
    return path
