"""What each command does: from parsed options to the module that does it.

Owns: passing settings and options on. A function's docstring is its command's help; its module is imported when the
command runs, so that ``foryou --help`` is instant. With ``cli`` this is the command line, which alone imports both
``pipeline`` and ``serving``. Leaves to others: parsing (``cli``), the work.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.settings import Settings, load_settings, option_names
from serving import log_form
from sql import places

# For the first look at somebody in a large store; a slider takes a fraction of a second of one.
EXPLAIN_THREADS = 2


def _settings(options: argparse.Namespace) -> Settings:
    flags = {name: getattr(options, f"setting_{name}", None) for name in option_names()}
    settings = load_settings(flags, os.environ, Path.cwd())
    log_form.log_as(settings.log)
    return settings


def up(options: argparse.Namespace) -> None:
    """Run the whole feed: ingest, schedule and serve under one parent."""
    from pipeline.run import up

    up.run(_settings(options))


def ingest(options: argparse.Namespace) -> None:
    """Follow the stream; store likes, posts and deletions."""
    from pipeline.ingest import service
    from serving.identity.labelers import LabelerReader

    settings = _settings(options)
    service.run(settings, LabelerReader(settings.plc_url))


def schedule(options: argparse.Namespace) -> None:
    """Run the batch jobs on their timetable."""
    from pipeline.run import timetable

    timetable.run(_settings(options))


def serve(options: argparse.Namespace) -> None:
    """Answer feed requests."""
    from pipeline.notify import watch_address
    from serving.config import ServingConfig
    from serving.process.workers import run
    from serving.web_errors import ServingError

    settings = _settings(options)
    config = ServingConfig(
        data_dir=settings.data_dir,
        hostname=settings.hostname,
        service_did=settings.service_did,
        publisher_did=settings.publisher_did,
        feed_rkeys=settings.feed_rkeys,
        listen=settings.listen,
        pages_listen=settings.pages_listen,
        plc_url=settings.plc_url,
        pages=settings.pages,
        threads=settings.serve_threads,
        workers=settings.serve_workers,
        explain=(
            *(sys.executable, "-m", "pipeline.cli", "explain", "--why", "--json", "-"),
            *("--data-dir", str(settings.data_dir.absolute()), "--batch-threads"),
            str(min(settings.batch_threads, EXPLAIN_THREADS)),
        ),
        known=(
            *(sys.executable, "-m", "pipeline.cli", "viewer", "--with-parent"),
            *("--data-dir", str(settings.data_dir.absolute()), "export"),
        ),
        trusted_proxies=settings.trusted_proxies,
        access_log=settings.access_log,
        lists_old_seconds=settings.lists_old_seconds,
        appview_url=settings.appview_url,
        page_posts=settings.page_posts == "on",
        image_hosts=settings.image_hosts,
        app_url=settings.app_url,
        log=settings.log,
        privacy_policy_url=settings.privacy_policy_url,
        terms_url=settings.terms_url,
        pinned_posts=settings.pinned_posts,
        journal=_journal_folder(settings),
    )
    try:
        run(config, lambda: watch_address(settings.local_address))
    except ServingError as error:
        raise PipelineError(str(error)) from error


def sync(options: argparse.Namespace) -> None:
    """Exchange lists and what viewers did with the other machines, through a shared folder."""
    from pipeline.nodes import sync as exchange

    settings = _settings(options)
    exchange.run(settings, _journals(settings))


def node(options: argparse.Namespace) -> None:
    """Serve a shard of the viewers on this machine: sync and serve under one parent."""
    from pipeline.nodes import node as serving_node

    settings = _settings(options)
    serving_node.run(settings, _journals(settings))


def batch(options: argparse.Namespace) -> None:
    """Run batch jobs once, now, and what follows them."""
    from pipeline.batch.tiers import BESIDE, COPIES, TIER_HELP

    settings = _settings(options)
    if options.job == COPIES and options.viewers != "all":
        raise PipelineError(f"job {COPIES!r} does not go with viewers {options.viewers!r}: {TIER_HELP}")
    if options.job != COPIES:
        from pipeline.batch import memory

        found = memory.before_libraries()
        from pipeline.batch import jobs

        jobs.run(settings, options.job, viewers=options.viewers, memory=found)
    if options.viewers in BESIDE:  # somebody waits for the next one
        return
    from pipeline.explore import after_batch

    after_batch.run(settings)
    if options.job != COPIES:  # it may wait for a run of all viewers
        from pipeline.operate.viewer import forget

        forget.forget_requested(settings.data_dir, _forgetting(settings))


def backfill(options: argparse.Namespace) -> None:
    """Fetch likes that the stream no longer carries."""
    from pipeline.backfill import command
    from serving.identity.repository_reader import RepositoryReader

    settings = _settings(options)
    command.run(settings, options, RepositoryReader(settings.plc_url), os.environ)


def sql(options: argparse.Namespace) -> None:
    """Answer a question from the stores: a named query, SQL of your own, or a shell."""
    from pipeline.explore import command

    _give_way()
    command.run(_settings(options), options, options.rest)


def explain(options: argparse.Namespace) -> None:
    """Explain why a post is in a viewer's list, or is not."""
    if options.why:  # somebody waits for it at the web app's page
        os.nice(5)  # below the feed, above batches, for which nobody waits
    else:
        _give_way()
    from pipeline.explore import explain_command

    settings = _settings(options)
    if options.why and options.viewer == "-":
        from pipeline.explore import explain_requests

        explain_requests.run(settings.data_dir, settings.batch_threads)
    elif options.why:
        explain_command.run_why(
            settings,
            options.viewer,
            options.set,
            feed=options.feed,
            public=options.public,
            as_json=options.json,
        )
    else:
        explain_command.run(settings, options.viewer, options.post, feed=options.feed, as_json=options.json)


def evaluate(options: argparse.Namespace) -> None:
    """Measure the ranking, and others, on what people liked next."""
    from pipeline.evaluate import command

    _give_way()
    command.run(_settings(options), options)


def block(options: argparse.Namespace) -> None:
    """Keep accounts, posts, domains, hashtags and words out of all lists."""
    _change_rules(options, "block")


def allow(options: argparse.Namespace) -> None:
    """Let accounts, posts and domains through that a rule or a label would hide."""
    _change_rules(options, "allow")


def publish(options: argparse.Namespace) -> None:
    """Create, update or delete the feed's record at Bluesky."""
    from pipeline.operate.feed_record import command

    command.run(_settings(options), options, os.environ)


def doctor(options: argparse.Namespace) -> None:
    """Check the whole installation; say how to mend what is wrong."""
    from pipeline.operate.doctor import command
    from serving.identity.labelers import LabelerReader

    command.run(lambda: _settings(options), os.environ, LabelerReader, as_json=options.json)


def backup(options: argparse.Namespace) -> None:
    """Copy what cannot be computed again, while everything runs."""
    from pipeline.operate.backup import take

    take.run(_settings(options), options.folder, keep=options.keep, lists=options.lists)


def restore(options: argparse.Namespace) -> None:
    """Fill an empty data directory from a backup."""
    from pipeline.operate.backup import restore

    restore.run(_settings(options), options.backup)


def viewer(options: argparse.Namespace) -> None:
    """Show or delete what is known about a viewer: export and forget."""
    from pipeline.operate.viewer import command
    from serving.lists.whole_lists import whole_lists

    settings = _settings(options)

    command.run(settings, options, whole_lists, _forgetting(settings))


def status(options: argparse.Namespace) -> None:
    """Show the state of the installation; exit 1 when something must be looked at."""
    from pipeline.operate.status import show

    if not show.run(_settings(options), as_json=options.json, watch=options.watch):
        raise SystemExit(1)


def simulate(options: argparse.Namespace) -> None:
    """Run a synthetic network that speaks the real wire."""
    from pipeline.simulate import command

    command.run(options)


def demo(options: argparse.Namespace) -> None:
    """Run the whole feed on a simulated network, in data/demo."""
    from pipeline.demo import command

    command.run(once=options.once)


def _give_way() -> None:
    """Run only when the machine has nothing better to do (Linux), or at the lowest priority (elsewhere).

    Called before a command loads its libraries: nobody but an analyst waits for an analyst's question.
    """
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)


def _change_rules(options: argparse.Namespace, action: str) -> None:
    from pipeline.blocking import command

    command.run(
        _settings(options),
        action,
        options.what,
        remove=options.remove,
        note=options.note,
        refresh=options.refresh,
    )


def _journal_folder(settings: Settings) -> Path | None:
    """Return this machine's folder of journals, None where it serves alone."""
    from pipeline.nodes.machine import machine_name

    if settings.shared_dir is None:
        return None
    return places.journals(settings.shared_dir) / machine_name(settings.data_dir)


def _journals(settings: Settings) -> Callable[[], object]:
    """Return what takes in what viewers did on all machines."""
    from pipeline.nodes.take_lists import forget_lists
    from serving.viewers.forgotten import forget_activity, request_forgetting
    from serving.viewers.taken_journals import JournalTaker

    folder = _journal_folder(settings)
    if folder is None or settings.shared_dir is None:
        return lambda: 0
    activity = places.activity(settings.data_dir)

    def forget(did: str, at_us: int) -> None:
        forget_activity(activity, did, at_us)
        if settings.shard is None:
            request_forgetting(activity, did, at_us)  # the next batch deletes the rest
        else:
            forget_lists(settings.data_dir, did)

    journals = places.journals(settings.shared_dir)
    return JournalTaker(settings.data_dir, journals, folder.name, settings.shard, forget).take


def _forgetting(settings: Settings) -> Callable[[str, int], Mapping[str, int]]:
    """Return what deletes a viewer from the web app's stores."""
    from serving.identity.key_store import forget_stored_key
    from serving.sign_in.session_store import SessionStore
    from serving.viewers.forgotten import forget_activity
    from serving.viewers.journal import Journal, OwnWord, report

    folder = _journal_folder(settings)

    def forget(did: str, at_us: int) -> dict[str, int]:
        if folder is not None:  # the other machines, too
            report(Journal(folder), OwnWord("forget", did, at_us, {}))
        rows = forget_activity(places.activity(settings.data_dir), did, at_us)
        rows["keys"] = forget_stored_key(places.keys(settings.data_dir), did)
        return rows | {"sessions": SessionStore(places.sessions(settings.data_dir)).close_all(did, at_us)}

    return forget
