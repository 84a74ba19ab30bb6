"""From the stores to plots: a marimo notebook in Polars and Altair.

    FORYOU_DATA_DIR=data/demo marimo edit notebooks/likes_to_plots.py      # in a browser
    FORYOU_DATA_DIR=data/demo python notebooks/likes_to_plots.py           # from beginning to end, without one

It needs the extra packages of ``pip install -c constraints.txt '.[notebook]'``. Nothing in it writes to the stores.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="foryou: from likes to plots")


@app.cell
def imports():
    import os

    import altair as alt
    import duckdb
    import marimo as mo
    import polars as pl

    import sql

    return alt, duckdb, mo, os, pl, sql


@app.cell
def _(mo):
    mo.md("""
    # From likes to plots

    Three steps: open the views, ask a question in SQL, go on in Polars. Every query of `foryou sql --list` works here
    by its name. Everything below is as of the newest snapshot, which each batch run makes.
    """)


@app.cell
def the_views(duckdb, os, sql):
    db = duckdb.connect()
    db.execute("SET VARIABLE data_dir = ?", [os.environ.get("FORYOU_DATA_DIR", "data/demo")])
    db.execute(sql.load("explore/views"))
    return (db,)


@app.cell
def ask_by_name(db, sql):
    def ask(name, **parameters):
        """Return a query of sql/explore as a Polars frame; parameters as ``foryou sql NAME --help`` lists them."""
        for parameter, value in parameters.items():
            db.execute(f"SET VARIABLE {parameter} = ?", [value])
        frame = db.sql(sql.load(f"explore/{name}")).pl()
        for parameter in parameters:  # so that the next query has its defaults again
            db.execute(f"RESET VARIABLE {parameter}")
        return frame

    return (ask,)


@app.cell
def _(mo):
    mo.md("""
    ## How lively is the network?

    Hours that are not whole are hollow: they are no dips.
    """)


@app.cell
def hours(alt, ask):
    likes_per_hour = ask("likes_per_hour", hours=48)
    hours_plot = (
        alt.Chart(likes_per_hour, title="Likes in each hour (UTC)")
        .mark_line(point={"filled": False, "fill": "white"})
        .encode(
            x=alt.X("hour:T", title=None),
            y=alt.Y("likes:Q"),
            tooltip=["hour:T", "likes:Q", "likers:Q", "partial:N"],
        )
    )
    whole_hours = alt.Chart(likes_per_hour).mark_circle(size=60).encode(x="hour:T", y="likes:Q")
    hours_plot = hours_plot + whole_hours.transform_filter("!datum.partial")
    hours_plot
    return hours_plot, likes_per_hour


@app.cell
def _(mo):
    mo.md("""
    ## Does a place in the list matter?

    The share of posts that their viewer liked within a day of seeing them. The bars are 95 % bounds with viewers as the
    independent units; impressions whose day is not over do not count.
    """)


@app.cell
def places(alt, ask):
    by_position = ask("like_rate_by_position", places=15)
    axis = alt.X("position:O", title="place in the list")
    places_plot = alt.layer(
        alt.Chart(by_position).mark_rule().encode(x=axis, y="like_rate_low:Q", y2="like_rate_high:Q"),
        alt.Chart(by_position)
        .mark_point(filled=True, size=60)
        .encode(
            x=axis,
            y=alt.Y("like_rate:Q", title="share liked", axis=alt.Axis(format="%")),
            tooltip=["position", "ripe", "likes", alt.Tooltip("like_rate", format=".1%")],
        ),
        title="Likes by place",
    )
    places_plot
    return by_position, places_plot


@app.cell
def _(mo):
    mo.md("""
    ## Do viewers come back?
    """)


@app.cell
def days(alt, ask):
    retention = ask("retention_by_day", days=14)
    retention_plot = (
        alt.Chart(retention, title="Viewers who came back, by the day they first came")
        .mark_rect()
        .encode(
            x=alt.X("days_later:O", title="days later"),
            y=alt.Y("first_day:O", timeUnit="yearmonthdate", title=None),
            color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1]), legend=alt.Legend(format="%")),
            tooltip=["first_day:T", "days_later", "viewers", alt.Tooltip("share", format=".0%"), "partial"],
        )
    )
    retention_plot
    return retention, retention_plot


@app.cell
def _(mo):
    mo.md("""
    ## A question of one's own

    How many authors are on a first page, and how many people stand behind a post? The views give rows with names;
    from here on it is Polars.
    """)


@app.cell
def first_pages(db, pl):
    items = db.sql(
        "SELECT feed, viewer_did, rank, post_uri, source, co_likers FROM candidates WHERE rank <= 30"
    ).pl()
    pages = (
        items.with_columns(author=pl.col("post_uri").str.extract(r"^at://([^/]+)/"))
        .group_by("feed", "viewer_did")
        .agg(
            pl.len().alias("posts"),
            pl.col("author").n_unique().alias("authors"),
            pl.col("co_likers").filter(pl.col("source") != "popular").median().alias("co_likers"),
            (pl.col("source") == "popular").mean().alias("popular_share"),
        )
        .sort("feed", "viewer_did")
    )
    pages.describe()
    return items, pages


@app.cell
def page_plot(alt, pages):
    pages_plot = (
        alt.Chart(pages, title="First pages: who stands behind them")
        .mark_bar()
        .encode(
            x=alt.X("co_likers:Q", bin=alt.Bin(maxbins=20), title="co-likers of the page's middle post"),
            y=alt.Y("count()", title="lists"),
            color=alt.Color("feed:N"),
        )
    )
    pages_plot
    return (pages_plot,)


if __name__ == "__main__":
    app.run()
