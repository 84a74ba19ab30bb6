"""The command line: every command of ``foryou``, its flags, and how it ends.

Owns: parsing, logging's form, and turning errors into one line. Leaves to others: what the commands do
(``commands``).

Exit status: 0 done, 1 failed with one clear line on stderr, 2 wrong usage.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import commands
from pipeline.batch.tiers import JOBS, TIERS
from pipeline.errors import PipelineError
from pipeline.settings import option_help, option_names


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
        # The reader of our output has gone, for instance ``| head``: that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser(name: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foryou",
        description="The For You feed for Bluesky that one person runs at home.",
        epilog="Every setting is a flag, a FORYOU_ variable, or a line of foryou.toml, in this order.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(title: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        child = parts.add_parser(
            title, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=title != "sql"
        )
        child.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
        child.set_defaults(run=run)
        return child

    def with_settings(child: argparse.ArgumentParser) -> argparse.ArgumentParser:
        group = child.add_argument_group("settings")
        for option in option_names():
            flag = "--" + option.replace("_", "-")
            group.add_argument(flag, dest=f"setting_{option}", metavar="VALUE", help=option_help(option))
        return child

    with_settings(
        command("up", commands.up, "run the whole feed: ingest, schedule and serve under one parent")
    )
    with_settings(
        command("ingest", commands.ingest, "follow the stream and store likes, posts and deletions")
    )
    with_settings(command("schedule", commands.schedule, "run the batch jobs on their timetable"))
    with_settings(command("serve", commands.serve, "answer feed requests"))
    batch = with_settings(command("batch", commands.batch, "run a batch job once, now"))
    batch.add_argument(
        "--job", choices=(*JOBS, "all"), default="all", help="which job (default all, in this order)"
    )
    batch.add_argument(
        "--viewers",
        choices=tuple(TIERS),
        default="all",
        help="for whom; docs/tiers.md explains each (default all)",
    )
    backfill = with_settings(
        command("backfill", commands.backfill, "fetch likes that the stream does not bring any more")
    )
    if name == "backfill":
        from pipeline.backfill.command import add_arguments as add_backfill_arguments

        add_backfill_arguments(backfill)
    queries = with_settings(
        command("sql", commands.sql, "ask the stores a question: a query by name, or a .sql file")
    )
    if name == "sql":
        from pipeline.explore.command import add_arguments as add_query_arguments

        add_query_arguments(queries)
    explain = with_settings(
        command("explain", commands.explain, "say why a post is in a viewer's list, or is not")
    )
    explain.add_argument("viewer", metavar="VIEWER", help="a DID, or a part of one that no other has")
    explain.add_argument(
        "post", nargs="?", metavar="POST", help="at-uri or bsky.app address (none: the list)"
    )
    explain.add_argument("--json", action="store_true", help="as JSON, for programs")
    explain.add_argument(
        "--why", action="store_true", help="for each of the first posts, who brought it there"
    )
    explain.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        default=[],
        help="with --why: as another parameter makes it",
    )
    explain.add_argument("--public", action="store_true", help="with --why: from public likes alone")
    evaluate = with_settings(
        command("evaluate", commands.evaluate, "measure the ranking and others on what people liked next")
    )
    if name == "evaluate":
        from pipeline.evaluate.command import add_arguments as add_evaluate_arguments

        add_evaluate_arguments(evaluate)
    publish = with_settings(
        command("publish", commands.publish, "create, update or delete the feed's record at Bluesky")
    )
    if name == "publish":
        from pipeline.operate.feed_record.command import add_arguments as add_publish_arguments

        add_publish_arguments(publish)
    doctor = with_settings(
        command("doctor", commands.doctor, "check the whole installation and say what to do")
    )
    doctor.add_argument("--json", action="store_true", help="as JSON, for programs")
    backup = with_settings(
        command("backup", commands.backup, "copy what can't be made again, while everything runs")
    )
    backup.add_argument(
        "folder", metavar="DIR", type=Path, help="folder of backups; each becomes a folder in it"
    )
    backup.add_argument("--keep", type=_count, metavar="N", help="remove all but the newest N afterwards")
    backup.add_argument("--lists", action="store_true", help="the lists too, for a move: ready at once")
    restore = with_settings(
        command("restore", commands.restore, "fill an empty data directory from a backup")
    )
    restore.add_argument("backup", metavar="DIR", type=Path, help="a backup, or a folder of them: the newest")
    status = with_settings(command("status", commands.status, "say how the installation is doing"))
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    status.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")
    simulate = command("simulate", commands.simulate, "run a synthetic network that speaks the real wire")
    if name == "simulate":  # its flags come with its world, which takes a moment to import
        from pipeline.simulate.command import add_arguments

        add_arguments(simulate)
    demo = command("demo", commands.demo, "run the whole feed on a simulated network, in data/demo")
    demo.add_argument("--once", action="store_true", help="check it end to end, print a summary, stop")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
