"""``foryou sql``: a query by name, from a file, from standard input or as it is typed, written in one of five forms.

Owns: the flags, and where the query comes from. Leaves to others: what a query is (``queries``), the process that runs
it (``box``), writing its rows (``formats``).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.explore import queries
from pipeline.explore.box import limits, outside
from pipeline.explore.box.request import BoxRequest
from pipeline.explore.queries import Query, QueryError
from pipeline.flag_values import whole
from pipeline.settings import Settings

FORMS = ("table", "csv", "json", "parquet", "sqlite")
BINARY = ("parquet", "sqlite")
EPILOG = """\
examples:
  foryou sql                                          a shell, on a terminal
  foryou sql --list                                   the named queries
  foryou sql most_liked_posts --hours 6 --rows 10     one of them; its parameters are flags
  foryou sql most_liked_posts --help                  what it answers, and its parameters
  foryou sql "FROM posts LIMIT 3"                     SQL itself
  foryou sql my_query.sql --format csv                a file
  echo "FROM posts LIMIT 3" | foryou sql -            standard input
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sql``; a query's own parameters are flags too, which ``run`` gets unparsed."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "query",
        nargs="?",
        metavar="NAME|FILE|SQL|-",
        help="a query: its name, a .sql file, SQL itself, or - for standard input (default: a shell)",
    )
    parser.add_argument(
        "-h", "--help", action="store_true", help="show this, or what a query answers, and exit"
    )
    parser.add_argument("--list", action="store_true", help="list the named queries and their parameters")
    parser.add_argument("--format", choices=FORMS, default="table", help="default: %(default)s")
    parser.add_argument(
        "--output", "--out", type=Path, metavar="FILE", help="write to a file (default: standard output)"
    )
    parser.add_argument(
        "--read", type=Path, action="append", default=[], metavar="PATH",
        help="let the query read this file or folder too, as in FROM 'my.csv'; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--max-rows",
        type=whole(),
        default=limits.MAX_ROWS,
        metavar="N",
        help="stop at more rows (default: %(default)s)",
    )
    parser.set_defaults(parser=parser)


def run(settings: Settings, options: argparse.Namespace, rest: Sequence[str]) -> None:
    """List the queries, describe one, run one, or open a shell; QueryError when it can't be run."""
    given = queries.parameters_of(rest)
    query = _query(options)
    if options.help:
        if query is None:
            options.parser.print_help()
        else:
            print(queries.description(query))
        return
    if query is None and given:
        raise QueryError(f"--{next(iter(given))}: name a query first; 'foryou sql --list' lists them")
    if options.list or (query is None and not _at_terminal()):
        print(queries.listing())
        return
    named = [str(_readable(path, settings.data_dir)) for path in options.read]
    values = {} if query is None else query.values(given)

    def request(spill: Path) -> BoxRequest:
        return BoxRequest(
            data_dir=str(settings.data_dir.absolute()),
            threads=settings.batch_threads,
            form=options.format,
            spill=str(spill),
            max_rows=options.max_rows,
            parent=os.getpid(),
            name="" if query is None else query.name,
            text=None if query is None else query.text,
            values=values,
            named=named,
        )

    if query is None:
        outside.shell(request)
    elif options.output is not None:
        outside.write_file(request, options.output, settings.data_dir)
    elif options.format in BINARY and sys.stdout.isatty():
        raise QueryError(f"{options.format} is not text: name a file with --output")
    else:
        outside.write(request, sys.stdout.buffer)


def _query(options: argparse.Namespace) -> Query | None:
    """Return the query that was given in one of the ways, None when there is none."""
    if options.query == "-" or (
        options.query is None
        and not (options.help or options.list or sys.stdin is None or sys.stdin.isatty())
    ):
        text = sys.stdin.read()
        if text.strip() or options.query == "-":
            return queries.parse("standard input", text)
        return None
    return None if options.query is None else queries.find(options.query)


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _readable(path: Path, data_dir: Path) -> Path:
    """Return a path that --read may open: never the stores and keys of the data directory."""
    if not path.exists():
        raise QueryError(f"--read {path}: there is no such file or folder")
    real, stores = path.resolve(), data_dir.resolve()
    if real.is_relative_to(stores) or stores.is_relative_to(real):
        raise QueryError(f"--read {path}: the data directory is in it, or it is in the data directory")
    return path.absolute()
