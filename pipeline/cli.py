"""The command line: every command of ``foryou``, its flags, and how it ends.

Owns: parsing, logging's form, and turning errors into one line. Leaves to others: what the commands do;
each handler imports its module when it runs, so that ``foryou --help`` is instant.

Exit status: 0 done, 1 failed with one clear line on stderr, 2 wrong usage.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.settings import Settings, load_settings, option_help, option_names

JOBS = ("compact", "neighbours", "candidates", "all")


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
            from pipeline.processes import stop_with_parent

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
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(title: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(
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

    with_settings(command("up", _up, "run the whole feed: ingest, schedule and serve under one parent"))
    with_settings(command("ingest", _ingest, "follow the stream and store likes, posts and deletions"))
    with_settings(command("schedule", _schedule, "run the batch jobs on their timetable"))
    with_settings(command("serve", _serve, "answer feed requests"))
    batch = with_settings(command("batch", _batch, "run a batch job once, now"))
    batch.add_argument("--job", choices=JOBS, default="all", help="which job (default all, in this order)")
    backfill = with_settings(
        command("backfill", _backfill, "fetch likes that the stream does not bring any more")
    )
    if name == "backfill":
        from pipeline.backfill.command import add_arguments as add_backfill_arguments

        add_backfill_arguments(backfill)
    queries = with_settings(
        command("sql", _sql, "ask the stores a question: a query by name, or a .sql file")
    )
    if name == "sql":
        from pipeline.explore.command import add_arguments as add_query_arguments

        add_query_arguments(queries)
    explain = with_settings(command("explain", _explain, "say why a post is in a viewer's list, or is not"))
    explain.add_argument("viewer", metavar="VIEWER", help="a DID, or a part of one that no other has")
    explain.add_argument(
        "post", nargs="?", metavar="POST", help="at-uri or bsky.app address (none: the list)"
    )
    explain.add_argument("--json", action="store_true", help="as JSON, for programs")
    evaluate = with_settings(
        command("evaluate", _evaluate, "measure the ranking and others on what people liked next")
    )
    if name == "evaluate":
        from pipeline.evaluate.command import add_arguments as add_evaluate_arguments

        add_evaluate_arguments(evaluate)
    publish = with_settings(
        command("publish", _publish, "create, update or delete the feed's record at Bluesky")
    )
    if name == "publish":
        from pipeline.publish.command import add_arguments as add_publish_arguments

        add_publish_arguments(publish)
    doctor = with_settings(command("doctor", _doctor, "check the whole installation and say what to do"))
    doctor.add_argument("--json", action="store_true", help="as JSON, for programs")
    backup = with_settings(command("backup", _backup, "copy what can't be made again, while everything runs"))
    backup.add_argument(
        "folder", metavar="DIR", type=Path, help="folder of backups; each becomes a folder in it"
    )
    backup.add_argument("--keep", type=_count, metavar="N", help="remove all but the newest N afterwards")
    backup.add_argument("--lists", action="store_true", help="the lists too, for a move: ready at once")
    restore = with_settings(command("restore", _restore, "fill an empty data directory from a backup"))
    restore.add_argument("backup", metavar="DIR", type=Path, help="a backup, or a folder of them: the newest")
    status = with_settings(command("status", _status, "say how the installation is doing"))
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    status.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")
    simulate = command("simulate", _simulate, "run a synthetic network that speaks the real wire")
    if name == "simulate":  # its flags come with its world, which takes a moment to import
        from pipeline.simulate.command import add_arguments

        add_arguments(simulate)
    demo = command("demo", _demo, "run the whole feed on a simulated network, in data/demo")
    demo.add_argument("--once", action="store_true", help="check it end to end, print a summary, stop")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _settings(options: argparse.Namespace) -> Settings:
    flags = {name: getattr(options, f"setting_{name}") for name in option_names()}
    return load_settings(flags, os.environ, Path.cwd())


def _up(options: argparse.Namespace) -> None:
    from pipeline import up

    up.run(_settings(options))


def _ingest(options: argparse.Namespace) -> None:
    from pipeline.ingest import service

    service.run(_settings(options))


def _schedule(options: argparse.Namespace) -> None:
    from pipeline import schedule

    schedule.run(_settings(options))


def _serve(options: argparse.Namespace) -> None:
    from pipeline.notify import watch_address
    from serving.config import ServingConfig
    from serving.errors import ServingError
    from serving.workers import run

    settings = _settings(options)
    config = ServingConfig(
        data_dir=settings.data_dir,
        hostname=settings.hostname,
        service_did=settings.service_did,
        publisher_did=settings.publisher_did,
        feed_rkeys=(settings.feed_rkey,),
        listen=settings.listen,
        plc_url=settings.plc_url,
        pages=settings.pages,
        threads=settings.serve_threads,
        workers=settings.serve_workers,
    )
    watch_address(settings.listen)
    try:
        run(config)
    except ServingError as error:
        raise PipelineError(str(error)) from error


def _batch(options: argparse.Namespace) -> None:
    from pipeline.batch import jobs
    from pipeline.explore import after_batch

    settings = _settings(options)
    jobs.run(settings, options.job)
    after_batch.run(settings)


def _backfill(options: argparse.Namespace) -> None:
    from pipeline.backfill import command
    from serving.endpoints import RepositoryReader

    settings = _settings(options)
    command.run(settings, options, RepositoryReader(settings.plc_url), os.environ)


def _sql(options: argparse.Namespace) -> None:
    from pipeline.explore import command, priority

    priority.give_way()
    command.run(_settings(options), options, options.rest)


def _explain(options: argparse.Namespace) -> None:
    from pipeline.explore import priority

    priority.give_way()
    from pipeline.explore import explain

    explain.run(_settings(options), options.viewer, options.post, as_json=options.json)


def _evaluate(options: argparse.Namespace) -> None:
    from pipeline.evaluate import command
    from pipeline.explore import priority

    priority.give_way()
    command.run(_settings(options), options)


def _publish(options: argparse.Namespace) -> None:
    from pipeline.publish import command

    command.run(_settings(options), options, os.environ)


def _doctor(options: argparse.Namespace) -> None:
    from pipeline.doctor import command

    command.run(lambda: _settings(options), os.environ, as_json=options.json)


def _backup(options: argparse.Namespace) -> None:
    from pipeline.backup import take

    take.run(_settings(options), options.folder, keep=options.keep, lists=options.lists)


def _restore(options: argparse.Namespace) -> None:
    from pipeline.backup import restore

    restore.run(_settings(options), options.backup)


def _status(options: argparse.Namespace) -> None:
    from pipeline.status import show

    show.run(_settings(options), as_json=options.json, watch=options.watch)


def _simulate(options: argparse.Namespace) -> None:
    from pipeline.simulate import command

    command.run(options)


def _demo(options: argparse.Namespace) -> None:
    from pipeline.demo import command

    command.run(once=options.once)


if __name__ == "__main__":
    sys.exit(main())
