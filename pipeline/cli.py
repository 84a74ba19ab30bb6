"""The command line: every command of ``foryou``, its flags, and how it ends.

Owns: parsing, the form of log lines, and turning errors into one line. Leaves to others: what the commands do
(``commands``).

Exit status: 0 done, 1 failed with one clear line on stderr, 2 wrong usage.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import commands
from pipeline.batch.tiers import JOBS, TIERS
from pipeline.errors import PipelineError
from pipeline.proxies import spare_loopback
from pipeline.settings import option_help, option_names
from sql import places

COMMANDS: tuple[Callable[[argparse.Namespace], None], ...] = (
    commands.up, commands.ingest, commands.schedule, commands.serve, commands.batch, commands.backfill,
    commands.sql, commands.explain, commands.evaluate, commands.block, commands.allow, commands.publish,
    commands.doctor, commands.backup, commands.restore, commands.viewer, commands.status, commands.simulate,
    commands.demo,
)  # fmt: skip
WITHOUT_SETTINGS = {commands.simulate, commands.demo}
# Commands whose modules add their flags. A module is imported for its own command alone: some take a moment.
FLAGS_OF = {
    "allow": "pipeline.blocking.command",
    "backfill": "pipeline.backfill.command",
    "block": "pipeline.blocking.command",
    "sql": "pipeline.explore.command",
    "evaluate": "pipeline.evaluate.command",
    "publish": "pipeline.operate.feed_record.command",
    "simulate": "pipeline.simulate.command",
    "viewer": "pipeline.operate.viewer.command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(next(iter(arguments), None))
    options, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(options, "query"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest  # a query's own parameters
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    places.keep_private()
    spare_loopback(os.environ)
    for chatty in ("apscheduler", "websockets", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        if options.with_parent:
            from pipeline.run.supervisor import stop_with_parent

            stop_with_parent()
        options.run(options)
    except PipelineError as error:
        print(f"foryou: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has stopped reading, as ``| head`` does. That is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser(name: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foryou",
        description="The For You feed for Bluesky that one person runs at home.",
        epilog="Every setting is a flag, a FORYOU_ variable or a line of foryou.toml; the first of these wins.",
    )
    parser.add_argument("--version", action="version", version=_version() if name == "--version" else "")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parsers = {}
    for run in COMMANDS:
        title, text = run.__name__, str(run.__doc__)
        child = parts.add_parser(
            title,
            help=text[0].lower() + text[1:].rstrip("."),
            description=text,
            allow_abbrev=title != "sql",
            add_help=title != "sql",  # a query has its own help
        )
        child.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
        child.set_defaults(run=run)
        if run not in WITHOUT_SETTINGS:
            group = child.add_argument_group("settings")
            for option in option_names():
                flag = "--" + option.replace("_", "-")
                group.add_argument(flag, dest=f"setting_{option}", metavar="VALUE", help=option_help(option))
        parsers[title] = child
    if name in FLAGS_OF:
        importlib.import_module(FLAGS_OF[name]).add_arguments(parsers[name])
    for title in ("explain", "doctor", "status"):
        parsers[title].add_argument("--json", action="store_true", help="print JSON, for programs")
    batch, explain = parsers["batch"].add_argument, parsers["explain"].add_argument
    batch("--job", choices=(*JOBS, "all"), default="all", help="which job (default: all, in this order)")
    batch(
        "--viewers",
        choices=tuple(TIERS),
        default="all",
        help="for whom; docs/tiers.md explains each (default: all)",
    )
    explain("viewer", metavar="VIEWER", help="a DID, or a part of one that no other DID has")
    explain("post", nargs="?", metavar="POST", help="at-uri or bsky.app address (default: explain the list)")
    explain("--why", action="store_true", help="for each of the first posts, show who brought it there")
    explain("--public", action="store_true", help="with --why: use public likes only")
    change = "with --why: use another value of a ranking parameter; may be repeated"
    explain("--set", action="append", metavar="NAME=VALUE", default=[], help=change)
    backup, restore = parsers["backup"].add_argument, parsers["restore"].add_argument
    backup("folder", metavar="DIR", type=Path, help="folder of backups; each backup is a folder in it")
    backup("--keep", type=_count, metavar="N", help="keep only the newest N backups")
    backup("--lists", action="store_true", help="copy the lists too: after a move, the feed is ready at once")
    restore("backup", metavar="DIR", type=Path, help="a backup, or a folder of backups: the newest is used")
    parsers["status"].add_argument(
        "--watch", action="store_true", help="repeat every two seconds, until Ctrl-C"
    )
    parsers["demo"].add_argument(
        "--once", action="store_true", help="check it end to end, print a summary, stop"
    )
    return parser


def _version() -> str:
    from importlib import metadata  # which takes as long as all the rest

    return f"foryou {metadata.version('foryou')}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
