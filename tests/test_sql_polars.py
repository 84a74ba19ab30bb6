"""Thirteen queries against Polars over the raw stores, with an experiment, two feeds and simulated readers."""

import math
from typing import Any

import polars as pl
import pytest
from analyst_store import EXPERIMENT, FEED, SECOND, Store
from query_cases import same
from raw_frames import HOUR_US, RawFrames

from pipeline.explore import queries, session
from pipeline.feeds import variant_number


@pytest.fixture(scope="module")
def raw(analysts: Store) -> RawFrames:
    return RawFrames(analysts.data_dir, analysts.now_us)


@pytest.fixture
def ask(analysts: Store) -> Any:
    """A function that asks a query and returns some of its columns."""

    def of(name: str, columns: str, **given: Any) -> list[tuple[Any, ...]]:
        query = queries.find(name)
        with session.open_session(analysts.data_dir, 1) as connection:
            values = query.values({key: str(value) for key, value in given.items()})
            return session.run(connection, analysts.data_dir, query, values).select(columns.split()).rows()

    return of


def test_the_store_has_an_experiment_two_feeds_and_readers(raw: RawFrames) -> None:
    assert set(raw.table("serving", "SELECT DISTINCT variant FROM variants")["variant"]) == {
        "age/young", "age/short", "age/control",
    }  # fmt: skip
    assert set(raw.table("serving", "SELECT rkey FROM feeds")["rkey"]) == {FEED, SECOND}
    shown = raw.impressions.group_by("feed_rkey").agg(pl.col("viewer_did").n_unique())
    assert dict(shown.iter_rows())[FEED] > 30 and dict(shown.iter_rows())[SECOND] > 20
    assert len(raw.likes) > 2_000


def test_likes_per_hour(raw: RawFrames, ask: Any) -> None:
    hours = raw.since(30).group_by(hour=pl.col("at").dt.truncate("1h")).agg(
        pl.len(), pl.col("liker").n_unique(), pl.col("post").n_unique().alias("posts")
    )  # fmt: skip
    same(ask("likes_per_hour", "hour likes likers posts", hours=30), hours.sort("hour").rows())


def test_most_liked_posts(raw: RawFrames, ask: Any) -> None:
    found = (
        raw.since(50)
        .group_by("post", "post_rkey", "author_id")
        .agg(pl.len().alias("likes"), pl.col("at").min())
    )
    found = found.sort("likes", "post_rkey", "author_id", descending=[True, True, False]).head(25)
    same(
        ask("most_liked_posts", "post_uri likes seen_first", hours=50, rows=25),
        found.select("post", "likes", "at").rows(),
    )


def test_rising_authors(raw: RawFrames, ask: Any) -> None:
    since_us = raw.now_us - 20 * HOUR_US
    now, before = (
        raw.since(40).filter(span).group_by("author").agg(pl.col("liker").n_unique().alias(name))
        for name, span in (("now", pl.col("seen_us") > since_us), ("before", pl.col("seen_us") <= since_us))
    )
    # Whoever liked the same post twice in the two spans counts in that of the first like.
    found = now.join(before, on="author", how="left").with_columns(pl.col("before").fill_null(0))
    found = found.filter(pl.col("now") >= 4).with_columns(rise=(pl.col("now") + 1) / (pl.col("before") + 1))
    found = found.sort("rise", "now", "author", descending=[True, True, False]).head(20)
    same(
        ask("rising_authors", "author_did likers_now likers_before rise", hours=20, min_likers=4),
        found.select("author", "now", "before", "rise").rows(),
    )


def test_bulk_likers(raw: RawFrames, ask: Any) -> None:
    hourly = raw.since(48).group_by("liker", pl.col("seen_us") // HOUR_US).agg(pl.len().alias("likes"))
    found = hourly.group_by("liker").agg(
        pl.col("likes").sum(), pl.col("likes").max().alias("busiest"), pl.len().alias("hours")
    )
    found = found.sort("likes", "liker", descending=[True, False]).head(30)
    same(ask("bulk_likers", "actor_did likes busiest_hour active_hours", hours=48, rows=30), found.rows())


def test_liker_degrees(raw: RawFrames, ask: Any) -> None:
    counts = raw.since(48).group_by("liker").agg(pl.len().alias("likes"))["likes"].to_list()
    bands = pl.DataFrame({"band": [int(math.log2(count)) for count in counts], "likes": counts})
    found = bands.group_by("band").agg(pl.len(), pl.col("likes").sum()).sort("band")
    expected = [(2**band, likers, likes, likes / sum(counts)) for band, likers, likes in found.iter_rows()]
    same(ask("liker_degrees", "likes_from likers likes like_share", hours=48), expected)


@pytest.mark.parametrize("feed", [FEED, SECOND])
def test_most_listed_posts(raw: RawFrames, ask: Any, feed: str) -> None:
    """Over all variants of the experiment: a post that three of them list is one row."""
    lists = raw.lists(feed)
    found = lists.filter(pl.col("place") <= 20).group_by("post").agg(pl.len(), pl.col("place").mean())
    rows = ask("most_listed_posts", "post_uri lists share mean_rank", places=20, rows=100_000, feed=feed)
    people = lists["viewer"].n_unique()
    expected = {post: (count, count / people, place) for post, count, place in found.iter_rows()}
    assert len(rows) == len(expected) > 50
    for post, *values in rows:
        assert values == pytest.approx(expected[post])
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


@pytest.mark.parametrize("feed", [FEED, SECOND])
def test_coverage(raw: RawFrames, ask: Any, feed: str) -> None:
    lengths = raw.lists(feed).group_by("viewer").agg(pl.len().alias("items"))
    people = raw.since(24).group_by("liker").agg(pl.len().alias("likes"))
    people = people.join(lengths, left_on="liker", right_on="viewer", how="left")
    expected = []
    for name, least, most in (("all", 1, 10**9), ("1 like", 1, 1), ("2-5 likes", 2, 5), ("6-20 likes", 6, 20),
                              ("21 likes or more", 21, 10**9)):  # fmt: skip
        band = people.filter(pl.col("likes").is_between(least, most))
        if len(band):
            expected.append((name, len(band), band["items"].count(), int((band["items"] >= 30).sum())))
    assert ask("coverage", "activity likers with_list with_long_list", items=30, feed=feed) == expected


@pytest.mark.parametrize("feed", ["", FEED, SECOND])
def test_like_rate_by_source(raw: RawFrames, ask: Any, feed: str) -> None:
    found = raw.outcomes(5).filter((pl.lit(feed) == "") | (pl.col("feed_rkey") == feed))
    ripe = pl.col("ripe").sum()
    likes = (pl.col("ripe") & pl.col("liked")).sum()
    rates = found.group_by("source").agg(pl.len(), ripe, likes.alias("likes"), (likes / ripe).alias("rate"))
    same(
        ask("like_rate_by_source", "source impressions ripe likes like_rate", days=5, feed=feed),
        rates.sort("len", "source", descending=[True, False]).rows(),
    )


@pytest.mark.parametrize("feed", ["", SECOND])
def test_show_less_rate(raw: RawFrames, ask: Any, feed: str) -> None:
    found = raw.outcomes(4).filter((pl.lit(feed) == "") | (pl.col("feed_rkey") == feed))
    rates = found.group_by(pl.col("at").dt.date(), "source").agg(pl.len(), pl.col("less").sum())
    same(
        ask("show_less_rate", "day source impressions less", days=4, feed=feed),
        rates.sort("at", "source", descending=[True, False]).rows(),
    )


@pytest.mark.parametrize("feed", ["", FEED])
def test_viewers_per_day(raw: RawFrames, ask: Any, feed: str) -> None:
    shown = raw.impressions.filter((pl.lit(feed) == "") | (pl.col("feed_rkey") == feed))
    shown = shown.filter(pl.col("served_us").is_between(raw.now_us - 5 * 24 * HOUR_US + 1, raw.now_us))
    daily = shown.group_by(pl.col("at").dt.date(), "viewer_did").agg(
        pl.len().alias("n"), pl.col("position").max()
    )
    found = daily.group_by("at").agg(
        pl.len(), pl.col("n").sum(), pl.col("n").mean().alias("each"), pl.col("position").mean()
    )
    same(
        ask("viewers_per_day", "day viewers impressions impressions_per_viewer deepest", days=5, feed=feed),
        found.sort("at", descending=True).rows(),
    )


def test_retention_by_day(raw: RawFrames, ask: Any) -> None:
    days = raw.impressions.filter(pl.col("served_us") <= raw.now_us)
    days = days.select("viewer_did", day=pl.col("at").dt.date()).unique()
    days = days.with_columns(first=pl.col("day").min().over("viewer_did"))
    found = (
        days.group_by("first", later=(pl.col("day") - pl.col("first")).dt.total_days())
        .len()
        .sort("first", "later")
    )
    same(ask("retention_by_day", "first_day days_later viewers", days=60), found.rows())


def test_experiment_split(raw: RawFrames, ask: Any) -> None:
    viewers = raw.lists(FEED)["viewer"].unique()
    number = pl.Series([variant_number("age", viewer) for viewer in viewers])
    shares = [table["share"] for table in EXPERIMENT["age"].values()]
    first, second = shares[0], sum(shares)
    counts = [(number < first).sum(), ((number >= first) & (number < second)).sum(), (number >= second).sum()]
    labels = ["age/young", "age/short", "age/control"]
    span = raw.impressions.filter(
        pl.col("served_us").is_between(raw.now_us - 7 * 24 * HOUR_US + 1, raw.now_us)
    )
    shown = dict(span.group_by("variant").agg(pl.col("viewer_did").n_unique()).iter_rows())
    expected = [(label, count, shown[label]) for label, count in zip(labels, counts, strict=True)]
    assert ask("experiment_split", "variant people shown") == expected


def test_experiment_results(raw: RawFrames, ask: Any) -> None:
    """The impressions of all variants, beside those of the other feed, which is in no experiment."""
    found = raw.outcomes(6).with_columns(day=pl.col("at").dt.date())
    ripe, likes = pl.col("ripe").sum(), (pl.col("ripe") & pl.col("liked")).sum()
    days = found.group_by("variant", "viewer_did").agg(pl.col("day").n_unique())
    days = days.group_by("variant").agg(pl.col("day").mean())
    rates = found.group_by("variant").agg(
        pl.col("viewer_did").n_unique(), pl.len(), ripe, (likes / ripe).alias("rate"), pl.col("less").mean()
    )
    rates = rates.join(days, on="variant").sort("variant")
    columns = ["variant", "viewer_did", "len", "ripe", "day", "rate", "less"]
    assert rates["variant"].to_list() == ["", "age/control", "age/short", "age/young"]
    same(
        ask("experiment_results", "variant viewers impressions ripe active_days like_rate less_rate", days=6),
        rates.select(columns).rows(),
    )
