"""``foryou sql``: one query, by name or from a file, written in one of four forms.

Owns: the flags and the list of queries. Leaves to others: what a query is (``queries``), running it (``session``),
writing its rows (``formats``).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.explore import queries
from pipeline.explore.queries import QueryError
from pipeline.settings import Settings

FORMATS = ("table", "csv", "json", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sql``; a query's own parameters are flags too, which ``run`` gets unparsed."""
    parser.add_argument(
        "query", nargs="?", metavar="NAME|FILE", help="a query, or a .sql file (default: list the queries)"
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write to a file (default: standard output)"
    )
    parser.epilog = "A query's parameters are flags: foryou sql most_liked_posts --hours 6 --rows 10"


def run(settings: Settings, options: argparse.Namespace, rest: Sequence[str]) -> None:
    """List the queries, or run one; QueryError when it can't be run."""
    from pipeline.explore import formats, session  # they load DuckDB and Polars

    given = parameters_of(rest)
    if options.query is None:
        if given:
            raise QueryError(f"--{next(iter(given))}: name a query first; 'foryou sql' lists them")
        print(listing())
        return
    query = queries.find(options.query)
    values = query.values(given)
    if options.format == "parquet" and options.output is None and sys.stdout.isatty():
        raise QueryError("Parquet is not text: name a file with --output")
    with session.open_session(settings.data_dir, settings.batch_threads) as connection:
        rows = session.run(connection, settings.data_dir, query, values)
        if options.output is None:
            formats.write(rows, options.format, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            formats.write_file(rows, options.format, options.output)


def parameters_of(rest: Sequence[str]) -> dict[str, str]:
    """Return parameters given as --name value or --name=value; QueryError for anything else."""
    given: dict[str, str] = {}
    words = iter(rest)
    for word in words:
        name, separator, value = word.partition("=")
        if not name.startswith("--") or len(name) < 3:
            raise QueryError(f"{word!r} is not a parameter: write --name value")
        name = name[2:].replace("-", "_")
        if not separator:
            following = next(words, None)
            if following is None:
                raise QueryError(f"--{name} needs a value")
            value = following
        if name in given:
            raise QueryError(f"--{name} is given twice")
        given[name] = value
    return given


def listing() -> str:
    """Return the queries with their questions and parameters."""
    found = [queries.find(name) for name in queries.names()]
    width = max(len(query.name) for query in found)
    lines = []
    for query in found:
        lines.append(f"{query.name:<{width}}  {query.question}")
        for parameter in query.parameters.values():
            default = "" if parameter.default is None else f" {parameter.default}"
            lines.append(f"{'':<{width}}    --{parameter.name}{default}: {parameter.meaning}")
    return "\n".join(lines)
