"""Checks of each feed: its record, a fetch as its publisher, and the whole path through Bluesky's AppView.

Owns: those, and from what the AppView answers, which part of the path is at fault. Leaves to others: the parts of the
path (``network_checks``), what a correct answer looks like (``feed_record.service_check``).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import orjson

from pipeline.feeds import feeds_of
from pipeline.operate.doctor.findings import Check, SkippedError, WrongError
from pipeline.operate.doctor.network_checks import FRONT, log_of
from pipeline.operate.feed_record.record import CONTENT_MODES
from pipeline.operate.feed_record.repository import Repository, RepositoryError
from pipeline.operate.feed_record.service_check import OutsideError, fetch, public_url, repository_host
from pipeline.ranking import MEDIA
from pipeline.settings import APP_PASSWORD, Settings

SKELETON = "app.bsky.feed.getFeedSkeleton"
PAGE = 30  # what the app asks for
_REPUBLISH = "foryou publish"
_CACHED = "servers keep DID documents for up to a day: if it was corrected lately, wait"


def checks(settings: Settings, password: str, client: httpx.Client) -> list[Check]:
    """Return the checks of the feeds; an empty ``password`` skips the one that needs it."""
    return [
        Check(
            "feed record",
            lambda: _records(settings, client),
            f"check FORYOU_PUBLISHER_DID, then: {_REPUBLISH}",
            ("PLC directory",),
        ),
        Check(
            "signed fetch",
            lambda: _signed_fetch(settings, password, client),
            FRONT,
            ("did.json", "feed record"),
        ),
        Check(
            "AppView",
            lambda: _through_appview(settings, client),
            "check FORYOU_APPVIEW_URL",
            ("did.json", "feed record"),
        ),
    ]


def _each(settings: Settings) -> Iterator[Settings]:
    return (replace(settings, feed_rkey=rkey) for rkey in settings.feed_rkeys)


def _records(settings: Settings, client: httpx.Client) -> str:
    """Read the record of every feed, and name all that is wrong at once."""
    host = repository_host(client, settings.publisher_did, settings.plc_url)
    only_videos = {feed.rkey for feed in feeds_of(settings) if feed.ranking.media == MEDIA["video"]}
    wrong, notes = [], []
    with Repository(host, settings.publisher_did) as repository:
        for feed in _each(settings):
            stored = repository.record(feed.feed_rkey)
            record = {} if stored is None else stored.value
            if stored is None:
                wrong.append(f"there is no {feed.feed_uri}")
            elif record.get("did") != feed.service_did:
                wrong.append(
                    f"{feed.feed_uri} sends viewers to {record.get('did')} instead of {feed.service_did}"
                )
            elif (record.get("contentMode") == CONTENT_MODES["video"]) != (feed.feed_rkey in only_videos):
                notes.append(
                    f"{feed.feed_rkey} has nothing but videos, and its record does not say so: {_REPUBLISH}"
                    if feed.feed_rkey in only_videos
                    else f"{feed.feed_rkey} is shown as a feed of videos, but it has other posts: "
                    f"{_REPUBLISH} --feed {feed.feed_rkey} --content-mode unspecified"
                )
            elif record.get("acceptsInteractions") is not True:
                notes.append(
                    f"{feed.feed_rkey} does not accept interactions, so the app does not report what viewers saw"
                )
    if wrong:
        raise WrongError("; ".join(wrong), f"run {_REPUBLISH}")
    others = len(settings.feed_rkeys) - 1
    return "; ".join([settings.feed_uri + (f" and {others} more" if others else ""), *notes])


def _signed_fetch(settings: Settings, password: str, client: httpx.Client) -> str:
    """Fetch the feed as the publisher, with a token from their own host, at the public address."""
    if not password:
        raise SkippedError(f"set {APP_PASSWORD} to try it with the publisher's account")
    host = repository_host(client, settings.publisher_did, settings.plc_url)
    try:
        with Repository(host, settings.publisher_did, lambda: password) as repository:
            token = repository.service_token(settings.service_did, SKELETON)
    except RepositoryError as error:
        raise WrongError(str(error), f"correct {APP_PASSWORD}") from error
    answer = fetch(
        client,
        f"{public_url(settings.hostname)}/xrpc/{SKELETON}",
        params={"feed": settings.feed_uri, "limit": PAGE},
        headers={"Authorization": f"Bearer {token}"},
    )
    if answer.status_code != 200:
        raise WrongError(f"status {answer.status_code}: {answer.text[:300]}", log_of("serve"))
    try:
        page = orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        raise WrongError(f"no feed skeleton: {error}", log_of("serve")) from error
    posts = page.get("feed") if isinstance(page, dict) else None
    if not posts:
        raise WrongError("the feed is empty", "check that the batch has run: foryou status")
    return f"{len(posts)} posts in {answer.elapsed.total_seconds():.2f} s"


def _through_appview(settings: Settings, client: httpx.Client) -> str:
    """Ask the AppView for each feed and for a page of it, as somebody who is not signed in."""
    appview = settings.appview_url
    if urlsplit(public_url(settings.hostname)).scheme == "http" and urlsplit(appview).scheme == "https":
        raise SkippedError(f"this service is on this machine alone, where {appview} can't reach it")
    seen = []
    for feed in _each(settings):
        status, view = _ask(client, feed, "getFeedGenerator")
        if status != 200:
            _at_fault(client, feed, status, view)
        did = (view.get("view") or {}).get("did")
        if did != feed.service_did:
            raise WrongError(
                f"{appview} knows an earlier record of {feed.feed_uri}, which sends viewers to {did}",
                "wait some minutes: it reads the record from the relay",
            )
        status, page = _ask(client, feed, "getFeed", limit=PAGE)
        if status == 401:
            raise SkippedError(f"{appview} shows feeds to people who are signed in alone")
        if status != 200:
            _at_fault(client, feed, status, page)
        posts = len(page.get("feed") or [])
        if not posts:
            _nothing_shown(client, feed)
        seen.append(
            f"{posts} posts" if feed.feed_uri == settings.feed_uri else f"{posts} of {feed.feed_rkey}"
        )
    return f"{appview} shows {', '.join(seen)}"


def _ask(client: httpx.Client, feed: Settings, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON object that the AppView answers about a feed, {} for anything else."""
    url = f"{feed.appview_url}/xrpc/app.bsky.feed.{method}"
    answer = fetch(client, url, params={"feed": feed.feed_uri, **params})
    try:
        found = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        found = None
    return answer.status_code, found if isinstance(found, dict) else {}


def _at_fault(client: httpx.Client, feed: Settings, status: int, said: dict[str, Any]) -> NoReturn:
    """Say which part of the path the AppView's refusal comes from."""
    name, message = str(said.get("error", "")), str(said.get("message", ""))[:300]
    whole = f"{feed.appview_url} says {status} {name}: {message}"
    if "could not find feed" in message or "not found" in message:
        raise WrongError(
            f"{feed.appview_url} does not know {feed.feed_uri}",
            "wait a minute after foryou publish; else: is the publisher's account active, and does the relay read its "
            "host?",
        )
    if "could not resolve identity" in message:
        raise WrongError(
            f"{whole}: it finds no document of {feed.service_did}", f"did.json is well here; {_CACHED}"
        )
    if "service details in did document" in message:
        raise WrongError(
            f"{whole}: the document that it has names no #bsky_fg", f"did.json is well here; {_CACHED}"
        )
    posts, seconds = _directly(client, feed)
    if name == "InvalidFeedResponse":
        raise WrongError(
            f"{whole}: it refuses a page of {posts} posts as malformed",
            "this is a defect of foryou: report it",
        )
    if name == "UnknownFeed":
        raise WrongError(f"{whole}: it asks another service than this one, which knows the feed", _CACHED)
    if status >= 500:
        raise WrongError(
            f"{whole}. From here the same page comes from {public_url(feed.hostname)} in {seconds:.1f} s",
            "the AppView waits 5 seconds, and needs a public address, port 443 and a valid certificate: is the proxy "
            f"in front slow, or does it refuse some clients? Or {_CACHED}",
        )
    raise WrongError(whole, "the message says what is wrong")


def _nothing_shown(client: httpx.Client, feed: Settings) -> NoReturn:
    posts, _ = _directly(client, feed)
    if not posts:
        raise WrongError(f"{feed.feed_uri} is empty", "check that the batch has run: foryou status")
    raise WrongError(
        f"{feed.appview_url} shows none of the {posts} posts of {feed.feed_uri}: it does not know them",
        "does ingest follow the same network? check FORYOU_STREAM_URL and FORYOU_APPVIEW_URL",
    )


def _directly(client: httpx.Client, feed: Settings) -> tuple[int, float]:
    """Return how many posts a page has at the public address, and its seconds; WrongError when there is none."""
    url = f"{public_url(feed.hostname)}/xrpc/{SKELETON}"
    try:
        answer = fetch(client, url, params={"feed": feed.feed_uri, "limit": PAGE})
        page = orjson.loads(answer.content)
    except (OutsideError, orjson.JSONDecodeError) as error:
        raise WrongError(f"no page of {feed.feed_uri}: {error}", FRONT) from error
    if answer.status_code != 200 or not isinstance(page, dict) or not isinstance(page.get("feed"), list):
        raise WrongError(f"{url} answers {answer.status_code}: {answer.text[:300]}", log_of("serve"))
    return len(page["feed"]), answer.elapsed.total_seconds()
