"""What authors in lists say on their profiles, from the AppView where the stream did not report it.

Owns: how many are asked about at once and in a run, and reading an answer. Leaves to others: who is due
(``store.who_is_due``), what follows (``store.profile_requests``), the request (``ask_appview``), and when a run is due
(``run.timetable``).

The stream reports a profile when it changes. Most never do: without asking, ``!no-unauthenticated`` and
``!no-promote`` of such a profile would stay unknown. Asking tells the AppView which authors are in lists here, and
nothing of who reads them.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import httpx

from pipeline.ask_appview import NoAnswerError, appview_client, ask
from pipeline.errors import BackfillError
from pipeline.ingest.records import self_label_level
from pipeline.store.profile_requests import Author, ProfileRequests
from pipeline.store.who_is_due import authors_to_ask_about

log = logging.getLogger("foryou.backfill")

METHOD, AT_ONCE = "app.bsky.actor.getProfiles", 25  # of the lexicon
REQUESTS_A_RUN = 200
PAUSE_SECONDS = 0.25  # so that a run asks four times a second at most


def run(data_dir: Path, appview_url: str, *, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Ask about authors who are due, the most liked first; BackfillError when the AppView does not answer.

    What was answered up to then is stored. It returns quickly when nobody is due.
    """
    due = authors_to_ask_about(data_dir, time.time_ns() // 1000, REQUESTS_A_RUN * AT_ONCE)
    if not due:
        return
    with closing(ProfileRequests(data_dir)) as store, appview_client(appview_url) as client:
        _ask_about_all(due, store, client, pause_seconds)
        store.forget_former()
    log.info("the AppView answered for the profiles of %d authors in lists", len(due))


def _ask_about_all(
    due: Sequence[Author], store: ProfileRequests, client: httpx.Client, pause_seconds: float
) -> None:
    for start in range(0, len(due), AT_ONCE):
        if start:
            time.sleep(pause_seconds)
        authors = due[start : start + AT_ONCE]
        try:
            levels = levels_of(ask(client, METHOD, {"actors": [did for _, did in authors]}))
        except NoAnswerError as error:
            raise BackfillError(
                f"{client.base_url} does not say what authors in lists want: {error}; {len(due) - start} of them "
                "are asked about later. FORYOU_ASK_PROFILES=off asks nobody"
            ) from error
        store.answered(authors, levels)


def levels_of(answer: dict[str, object]) -> dict[str, int]:
    """Return from whom each profile of an answer withholds its author's posts; NoAnswerError when it has none."""
    profiles = answer.get("profiles")
    if not isinstance(profiles, list):
        raise NoAnswerError("the answer has no profiles")
    found = {}
    for profile in profiles:
        did = profile.get("did") if isinstance(profile, dict) else None
        if isinstance(did, str):
            found[did] = self_label_level(_own_labels(profile.get("labels"), did))
    return found


def _own_labels(labels: object, did: str) -> Sequence[str]:
    """Return the values that an author's own profile record has, without what labelers say."""
    record = f"at://{did}/app.bsky.actor.profile/self"
    return [
        label["val"]
        for label in (labels if isinstance(labels, list) else ())
        if isinstance(label, dict)
        and (label.get("src"), label.get("uri")) == (did, record)
        and not label.get("neg")
        and isinstance(label.get("val"), str)
    ]
