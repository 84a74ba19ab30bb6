"""Running the files of ``sql/batch`` in order, with checked parameters.

Owns: the variables and the order of the files. Leaves to others: the relations a run starts from (``snapshot``),
and the fast form of the two products (``neighbours.product_block``, ``lists.product``).

Invariant: the fast path and the SQL path run the same files up to the products, so only the products can differ. A
DuckDB variable that is not declared reads as NULL without an error. Therefore ``set_variables`` refuses names that
``params.sql`` does not declare.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

import duckdb

import sql
from pipeline.feeds import Variant
from pipeline.ranking import Ranking
from pipeline.store.duck import count

LIKES = ("hidden_accounts", "deleted_posts", "valid_likes", "first_reported", "alive_posts", "likes")
# Who liked what the viewers liked.
SEEDS = (*LIKES, "viewers", "answers", "answer_weights", "seeds", "seed_posts", "seed_entries", "seed_likers")
NEIGHBOURS = ("co_likers", "everybody", "neighbours")
# What the full pass runs before it reads the likes a range of authors at a time.
BEFORE_GRAPH = (
    "hidden_accounts", "deleted_posts", "valid_likes", "first_reported", "viewers", "answers", "answer_weights",
)  # fmt: skip
FORECAST = ("forecast_inputs", "forecast")
# Made of everybody's likes: a run that reads the likes of few posts takes what these say from a run that read all.
OF_EVERYBODY = frozenset({"crowd_likers", "popular", "public_popular", *FORECAST, "crowd_shares"})
# What a variant's lists are made of, besides the likes.
LISTS = (
    "candidate_posts", "fresh_likes", "list_viewers", "answers", "feedback", "exclusions", "crowd_likers", "popular",
    "public_popular", *FORECAST, "crowd_shares", "crowds",
)  # fmt: skip
BEFORE_CANDIDATES = (*LIKES, *LISTS)
CANDIDATES = ("crowd_weights", "candidates", "ranked")
VIEWS = frozenset({"valid_likes"})  # not counted: to count their rows would be to read everything

_DECLARED = re.compile(r"^SET VARIABLE (\w+) =", re.MULTILINE)


@cache
def declared() -> frozenset[str]:
    """Return the names that ``params.sql`` declares."""
    return frozenset(_DECLARED.findall(sql.load("batch/params")))


def prepare(connection: duckdb.DuckDBPyConnection, ranking: Ranking, snapshot_us: int) -> None:
    """Set the defaults, then this run's parameters, and define the macros."""
    connection.execute(sql.load("batch/params"))
    set_variables(connection, {**_variables(ranking), "snapshot_us": snapshot_us})
    connection.execute(sql.load("batch/macros"))


def set_variant(connection: duckdb.DuckDBPyConnection, variant: Variant) -> None:
    """Set the parameters of a variant, and which viewers are in it."""
    share = {"from_share": variant.from_share, "until_share": variant.until_share}
    share["is_control"] = float(variant.is_control)
    set_variables(connection, {**_variables(variant.ranking), **share, "experiment": variant.experiment})


def set_variables(connection: duckdb.DuckDBPyConnection, values: Mapping[str, float | str]) -> None:
    """Set DuckDB variables; ValueError for a name that ``params.sql`` does not declare."""
    for name, value in values.items():
        if name not in declared():
            raise ValueError(f"{name} is not declared in sql/batch/params.sql")
        connection.execute(f"SET VARIABLE {name} = ?", [value])


def run_file(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Run one file of ``sql/batch``; return the rows of the table it is named after, 0 for a view."""
    connection.execute(sql.load(f"batch/{name}"))
    return 0 if name in VIEWS else count(connection, name)


def _variables(ranking: Ranking) -> dict[str, float]:
    return {name: value for name, value in asdict(ranking).items() if name in declared()}
