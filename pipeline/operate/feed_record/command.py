"""``foryou publish``: create, update or delete the record of one feed, or of all.

Owns: the order of things (read first, ask for the password only when something must be written), and the messages.
Leaves to others: the record (``record``), the calls (``repository``), whether the service can be reached
(``service_check``).

The password comes from FORYOU_APP_PASSWORD or from a prompt. It is never a flag, which every user of the machine
could read. It is not stored, logged or kept in the settings, and no child process is given it.
"""

import argparse
import getpass
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import SettingError
from pipeline.feeds import feeds_of
from pipeline.handles import UnresolvedHandleError, did_of_handle
from pipeline.operate.feed_record.record import (
    CONTENT_MODES,
    Avatar,
    WantedFields,
    changes,
    read_avatar,
    record_of,
)
from pipeline.operate.feed_record.repository import Repository, Stored
from pipeline.operate.feed_record.service_check import check_service, http_client, repository_host
from pipeline.ranking import MEDIA
from pipeline.setting_values import self_labels
from pipeline.settings import APP_PASSWORD, Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the command its flags."""
    parser.add_argument("--feed", metavar="RKEY", help="one feed, by its record key (default: all feeds)")
    parser.add_argument("--name", metavar="TEXT", help="the feed's name (a new feed: For You)")
    parser.add_argument("--description", metavar="TEXT", help="what the app shows below the name")
    parser.add_argument(
        "--avatar", metavar="FILE", type=Path, help="a PNG or JPEG picture of up to a megabyte"
    )
    parser.add_argument(
        "--accepts-interactions",
        action=argparse.BooleanOptionalAction,
        help="let the app send what viewers have seen, and 'show more' and 'show less' (a new feed: yes)",
    )
    parser.add_argument(
        "--label",
        action="append",
        metavar="VALUE",
        help="what the feed says of its content, such as porn or !no-unauthenticated; may be repeated, none: nothing",
    )
    parser.add_argument(
        "--content-mode",
        choices=tuple(CONTENT_MODES),
        help='how the app shows the feed (a feed with media = "video": video)',
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--delete", action="store_true", help="delete the record; the feed leaves the app")


def run(settings: Settings, options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Do what the flags say; PipelineError, in plain words, when something is in the way."""
    if settings.publisher_did == settings.service_did:
        raise SettingError(
            "FORYOU_PUBLISHER_DID is not set; set it to the DID of the Bluesky account that publishes the feed"
        )
    rkeys = settings.feed_rkeys if options.feed is None else (options.feed,)
    if options.feed is not None and options.feed not in settings.feed_rkeys:
        raise SettingError(
            f"--feed {options.feed}: unknown feed; expected one of {', '.join(settings.feed_rkeys)}"
        )
    if len(rkeys) > 1 and options.delete:
        raise SettingError(f"--delete needs --feed, one of {', '.join(rkeys)}")
    if len(rkeys) > 1 and (options.name is not None or options.description is not None):
        raise SettingError(
            "--name and --description are for one feed: name it with --feed, or write title and description into the "
            "[feeds.NAME] tables"
        )
    avatar = read_avatar(options.avatar) if options.avatar else None
    with http_client() as client:
        host = repository_host(client, settings.publisher_did, settings.plc_url)
        prompt = f"App password of {settings.publisher_did} on {host}: "
        with Repository(host, settings.publisher_did, partial(_password, environment, prompt)) as repository:
            for rkey in rkeys:
                feed = replace(settings, feed_rkey=rkey)
                present = repository.record(rkey)
                if options.delete:
                    _delete(repository, feed, present, dry_run=options.dry_run)
                    continue
                before = present.value if present else None
                wanted = wanted_fields(feed, options, avatar)
                record = record_of(before, wanted, time.time(), partial(_did_of, settings.appview_url))
                lines = changes(before, record, avatar)
                check_service(client, feed)
                if not lines:
                    print(f"{feed.feed_uri} is already as it should be; nothing to do")
                    continue
                print("\n".join(lines))
                _publish(repository, feed, present, record, avatar, dry_run=options.dry_run)
            if repository.has_main_password:
                print(
                    "foryou: this is the account's main password, which can do anything; an app password is enough",
                    file=sys.stderr,
                )


def wanted_fields(feed: Settings, options: argparse.Namespace, avatar: Avatar | None) -> WantedFields:
    """Return what a feed's record should have: the flags, else what its [feeds.NAME] table says, else as it is."""
    table = next((table for name, table in feed.feeds.items() if feed.rkey_of(name) == feed.feed_rkey), {})
    only_video = any(
        each.rkey == feed.feed_rkey and each.ranking.media == MEDIA["video"] for each in feeds_of(feed)
    )
    labels = table.get("labels")
    if options.label is not None:
        labels = [] if options.label == ["none"] else options.label
    try:
        labels = None if labels is None else self_labels(labels)
    except ValueError as error:
        raise SettingError(f"--label: {error}") from error
    return WantedFields(
        feed.service_did,
        table.get("title") if options.name is None else options.name,
        table.get("description") if options.description is None else options.description,
        options.accepts_interactions,
        avatar,
        options.content_mode or ("video" if only_video else None),
        labels,
    )


def _did_of(appview_url: str, handle: str) -> str | None:
    """Return the DID of a handle that a description mentions; None, with a line that says so, when there is none."""
    try:
        return did_of_handle(appview_url, handle)
    except UnresolvedHandleError as error:
        print(f"foryou: @{handle} in the description stays plain text: {error}", file=sys.stderr)
        return None


def _publish(
    repository: Repository,
    feed: Settings,
    present: Stored | None,
    record: dict[str, Any],
    avatar: Avatar | None,
    *,
    dry_run: bool,
) -> None:
    verb = "update" if present else "create"
    if dry_run:
        print(f"would {verb} {feed.feed_uri} on {repository.host}; nothing was changed")
        return
    if avatar is not None and not avatar.is_in(record):
        record["avatar"] = repository.upload(avatar.content, avatar.mime)
    repository.put(feed.feed_rkey, record, present)
    print(f"{verb}d {feed.feed_uri}")
    print(f"in the app: https://bsky.app/profile/{feed.publisher_did}/feed/{feed.feed_rkey}")


def _delete(repository: Repository, feed: Settings, present: Stored | None, *, dry_run: bool) -> None:
    if present is None:
        print(f"there is no {feed.feed_uri}; nothing to do")
    elif dry_run:
        print(f"would delete {feed.feed_uri} on {repository.host}; nothing was changed")
    else:
        repository.delete(feed.feed_rkey, present)
        print(f"deleted {feed.feed_uri}")


def _password(environment: Mapping[str, str], prompt: str) -> str:
    """Return the password of the environment, or the one that is typed at the prompt."""
    password = environment.get(APP_PASSWORD, "")
    if not password and sys.stdin.isatty():
        password = getpass.getpass(prompt)
    if not password:
        raise SettingError(f"an app password is needed: set {APP_PASSWORD}, or run the command in a terminal")
    return password
