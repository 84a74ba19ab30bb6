"""``foryou publish``: create, update or delete the record of one feed, or of all.

Owns: the order of things (look first, ask for the password only when something must be written), and what is
said. Leaves to others: the record (``record``), the calls (``repository``), whether the service is there
(``service_check``).

The password comes from FORYOU_APP_PASSWORD or from a prompt. It is never a flag, which every user of the
machine could read; it is not stored, not logged, not in the settings, and no child process is given it.
"""

import argparse
import getpass
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import SettingError
from pipeline.operate.feed_record.record import Avatar, Wanted, changes, read_avatar, record_of
from pipeline.operate.feed_record.repository import Repository, Session, Stored
from pipeline.operate.feed_record.service_check import check_service, http_client, repository_host
from pipeline.settings import APP_PASSWORD, Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the command its flags."""
    parser.add_argument("--feed", metavar="RKEY", help="one feed by its record key (default: all there are)")
    parser.add_argument("--name", metavar="TEXT", help="the feed's name (a new feed: For You)")
    parser.add_argument("--description", metavar="TEXT", help="what the app shows below the name")
    parser.add_argument(
        "--avatar", metavar="FILE", type=Path, help="a PNG or JPEG picture of at most a megabyte"
    )
    parser.add_argument(
        "--accepts-interactions",
        action=argparse.BooleanOptionalAction,
        help="have the app send what viewers have seen, and 'show more' and 'show less' (a new feed: yes)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    parser.add_argument(
        "--delete", action="store_true", help="delete the record: the feed is gone from the app"
    )


def run(settings: Settings, options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Do what the flags say; PipelineError, in plain words, when something is in the way."""
    if settings.publisher_did == settings.service_did:
        raise SettingError(
            "FORYOU_PUBLISHER_DID is not set: it is the DID of the Bluesky account whose feed this will be"
        )
    rkeys = settings.feed_rkeys if options.feed is None else (options.feed,)
    if options.feed is not None and options.feed not in settings.feed_rkeys:
        raise SettingError(
            f"--feed {options.feed}: there is no such feed; known: {', '.join(settings.feed_rkeys)}"
        )
    if len(rkeys) > 1 and options.delete:
        raise SettingError(f"--delete: say which feed with --feed; there are {', '.join(rkeys)}")
    if len(rkeys) > 1 and (options.name is not None or options.description is not None):
        raise SettingError(
            "--name and --description are of one feed: say which with --feed, or write title and description into "
            "the [feeds.NAME] tables"
        )
    avatar = read_avatar(options.avatar) if options.avatar else None
    secrets = dict(environment)
    with http_client() as client:
        host = repository_host(client, settings.publisher_did, settings.plc_url)
        repository = Repository(client, host, settings.publisher_did)
        for rkey in rkeys:
            feed = replace(settings, feed_rkey=rkey)
            present = repository.record(rkey)
            if options.delete:
                _delete(repository, feed, present, secrets, dry_run=options.dry_run)
            else:
                wanted = wanted_of(settings, rkey, options, avatar)
                record = record_of(present.value if present else None, wanted, time.time())
                lines = changes(present.value if present else None, record, avatar)
                check_service(client, feed)
                _publish(repository, feed, present, Change(record, lines, avatar), secrets, options.dry_run)


@dataclass(frozen=True, slots=True)
class Change:
    """A record as it shall be, and in words what is new in it."""

    record: dict[str, object]
    lines: list[str]
    avatar: Avatar | None


def wanted_of(settings: Settings, rkey: str, options: argparse.Namespace, avatar: Avatar | None) -> Wanted:
    """Return what a feed's record shall be: the flags, else what its [feeds.NAME] table says, else as it is."""
    table = next((table for name, table in settings.feeds.items() if settings.rkey_of(name) == rkey), {})
    return Wanted(
        settings.service_did,
        table.get("title") if options.name is None else options.name,
        table.get("description") if options.description is None else options.description,
        options.accepts_interactions,
        avatar,
    )


def _publish(
    repository: Repository,
    settings: Settings,
    present: Stored | None,
    change: Change,
    secrets: dict[str, str],
    dry_run: bool,
) -> None:
    if not change.lines:
        print(f"{settings.feed_uri} is published as it should be; nothing to do")
        return
    print("\n".join(change.lines))
    verb = "update" if present else "create"
    if dry_run:
        print(f"would {verb} {settings.feed_uri} on {repository.host}; nothing was changed")
        return
    with _login(repository, secrets) as session:
        _write(session, settings.feed_rkey, change.record, change.avatar, present)
    print(f"{verb}d {settings.feed_uri}")
    print(f"in the app: https://bsky.app/profile/{settings.publisher_did}/feed/{settings.feed_rkey}")


def _write(
    session: Session, rkey: str, record: dict[str, object], avatar: Avatar | None, present: Stored | None
) -> None:
    if avatar is not None and not avatar.is_in(record):
        record["avatar"] = session.upload(avatar.content, avatar.mime)
    session.put(rkey, record, present)


def _delete(
    repository: Repository,
    settings: Settings,
    present: Stored | None,
    secrets: dict[str, str],
    *,
    dry_run: bool,
) -> None:
    if present is None:
        print(f"there is no {settings.feed_uri}; nothing to do")
    elif dry_run:
        print(f"would delete {settings.feed_uri} on {repository.host}; nothing was changed")
    else:
        with _login(repository, secrets) as session:
            session.delete(settings.feed_rkey, present)
        print(f"deleted {settings.feed_uri}")


def _login(repository: Repository, secrets: dict[str, str]) -> Session:
    """Log in; a password that was typed is in ``secrets`` for the next feed."""
    password = secrets.get(APP_PASSWORD, "")
    if not password and sys.stdin.isatty():
        password = secrets[APP_PASSWORD] = getpass.getpass(
            f"App password of {repository.did} on {repository.host}: "
        )
    if not password:
        raise SettingError(
            f"an app password is needed: set {APP_PASSWORD}, or run the command in a terminal to be asked for it"
        )
    session = repository.login(password)
    if session.has_main_password:
        print(
            "foryou: that was the account's main password, which can do anything; an app password is enough",
            file=sys.stderr,
        )
    return session
