"""The command line: every command of ``foryou``, its flags, and how it ends.

Owns: parsing, and turning errors into one line. Leaves to others: what the commands do
(``commands``).

Exit status: 0 done, 1 failed with one clear line on stderr, 2 wrong usage.
"""

import argparse
import codecs
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import commands
from pipeline.batch.tiers import COPIES, JOBS, TIERS
from pipeline.errors import PipelineError, unknown
from pipeline.flag_values import whole
from pipeline.proxies import spare_loopback
from pipeline.settings import option_help, option_names
from serving import log_form
from sql import places

COMMANDS: tuple[Callable[[argparse.Namespace], None], ...] = (
    commands.up, commands.ingest, commands.schedule, commands.serve, commands.batch, commands.backfill,
    commands.sql, commands.explain, commands.evaluate, commands.block, commands.allow, commands.publish,
    commands.doctor, commands.backup, commands.restore, commands.viewer, commands.status, commands.simulate,
    commands.demo, commands.sync, commands.node,
)  # fmt: skip
WITHOUT_SETTINGS = {commands.simulate, commands.demo}
# What is written where an encoding lacks the character.
STAND_INS = {"\u2026": "...", "\u00b1": "+/-", "\u2013": "-", "\u2019": "'", "\u00d7": "x", "\u00b7": "-"}
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
    arguments = [_as_typed(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    _write_any_text()
    parser = _parser(next(iter(arguments), None), with_settings="--help-settings" in arguments)
    options, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(options, "query"):
        _refuse(options.parser, rest)
    options.rest = rest  # a query's own parameters
    log_form.log_as("text")  # until the settings are known
    places.keep_private()
    spare_loopback(os.environ)
    try:
        if options.with_parent:
            from pipeline.run.supervisor import stop_with_parent

            stop_with_parent()
        options.run(options)
    except PipelineError as error:
        log_form.say(logging.getLogger("foryou"), logging.ERROR, str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has stopped reading, as ``| head`` does. That is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _as_typed(word: str) -> str:
    """Return an argument as UTF-8 has it, also where the locale knows ASCII alone."""
    return os.fsencode(word).decode("utf-8", "surrogateescape")


def _write_any_text() -> None:
    """Let no character that the terminal's encoding lacks end a command: a stand-in is written for it."""
    codecs.register_error("foryou", _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="foryou")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(STAND_INS.get(character, "?") for character in lacking), error.end


def _refuse(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """End with status 2 for arguments that a command does not know; say which flag may be meant."""
    flag = next((word.partition("=")[0] for word in words if word.startswith("--")), None)
    if flag is None:
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    known = [name for name in parser._option_string_actions if name.startswith("--")]
    parser.error(unknown("flag", flag.replace("_", "-"), known).replace(flag.replace("_", "-"), flag, 1))


def _parser(name: str | None, *, with_settings: bool = False) -> argparse.ArgumentParser:
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
        child.set_defaults(run=run, parser=child)
        parsers[title] = child
    if name is not None and name not in parsers and not name.startswith("-"):
        parser.error(f"{unknown('command', name, tuple(parsers))}; 'foryou --help' lists them")
    if name in FLAGS_OF:
        importlib.import_module(FLAGS_OF[name]).add_arguments(parsers[name])
    for title in ("explain", "doctor", "status"):
        parsers[title].add_argument("--json", action="store_true", help="print JSON, for programs")
    batch, explain = parsers["batch"].add_argument, parsers["explain"].add_argument
    batch(
        "--job",
        choices=(*JOBS, "all", COPIES),
        default="all",
        help="which job (default: the first three, in this order); copies: of small tables, for analysts "
        "and the dashboard",
    )
    batch(
        "--viewers",
        choices=tuple(TIERS),
        default="all",
        help="for whom; docs/tiers.md explains each (default: all)",
    )
    viewer = "a DID, or a part of one that no other DID has; with --why, - reads requests from standard input"
    explain("viewer", metavar="VIEWER", help=viewer)
    explain("post", nargs="?", metavar="POST", help="at-uri or bsky.app address (default: explain the list)")
    explain("--feed", metavar="RKEY", default="", help="record key of the feed (default: the first)")
    explain("--why", action="store_true", help="for each of the first posts, show who brought it there")
    explain("--public", action="store_true", help="with --why: use public likes only")
    change = "with --why: use another value of a ranking parameter; may be repeated"
    explain("--set", action="append", metavar="NAME=VALUE", default=[], help=change)
    backup, restore = parsers["backup"].add_argument, parsers["restore"].add_argument
    backup("folder", metavar="DIR", type=Path, help="folder of backups; each backup is a folder in it")
    backup("--keep", type=whole(), metavar="N", help="keep only the newest N backups")
    backup("--lists", action="store_true", help="copy the lists too: after a move, the feed is ready at once")
    restore("backup", metavar="DIR", type=Path, help="a backup, or a folder of backups: the newest is used")
    parsers["status"].add_argument(
        "--watch", action="store_true", help="repeat every two seconds, until Ctrl-C"
    )
    parsers["demo"].add_argument(
        "--once", action="store_true", help="check it end to end, print a summary, stop"
    )
    if name in parsers and parsers[name].get_default("run") not in WITHOUT_SETTINGS:
        _add_settings(parsers[name], shown=with_settings)
    return parser


def _add_settings(parser: argparse.ArgumentParser, *, shown: bool) -> None:
    """Add a flag for every setting, after the command's own; the help has them when it is asked for them."""
    parser.add_argument("--help-settings", action="help", help="show the settings too; each is a flag")
    group = parser.add_argument_group("settings")
    for option in option_names():
        if f"--{option}" in parser._option_string_actions:
            continue  # the command's own flag has the name: evaluate's --log
        flag, text = "--" + option.replace("_", "-"), option_help(option) if shown else argparse.SUPPRESS
        group.add_argument(flag, dest=f"setting_{option}", metavar="VALUE", help=text)


def _version() -> str:
    from importlib import metadata  # which takes as long as all the rest

    return f"foryou {metadata.version('foryou')}"


if __name__ == "__main__":
    sys.exit(main())
