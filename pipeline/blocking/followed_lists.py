"""Members of the moderation lists that the operator follows, a file a list.

Owns: reading them page by page, the files, and when a list is due again. Leaves to others: the request
(``ask_appview``), which lists are followed (``rules``), what follows for their members (``in_force``), when somebody
looks (``run.timetable``).

Invariant: a file is a list as it was at one time, whole. When asking fails, or ends early, the file stays as it was.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import httpx

from pipeline.ask_appview import NoAnswerError, appview_client, ask
from pipeline.blocking.rules import Rule
from pipeline.errors import PipelineError
from pipeline.identifiers import is_did
from pipeline.store.whole_files import whole
from sql import places

log = logging.getLogger("foryou.rules")

MEMBERS_MAX = 50_000  # of one list; the official app makes lists of up to 5,000
REFRESH_SECONDS = 3600.0
PAGE, PAGES_MAX = 100, 2 * MEMBERS_MAX // 100
LIST_SECONDS = 120.0


class ListUnreadableError(PipelineError):
    """A list's members can't be had just now."""


def followed(rules: Sequence[Rule]) -> list[str]:
    """Return the at-uris of the lists that rules follow."""
    return [rule.value for rule in rules if rule.kind == "list"]


def members_of(data_dir: Path, list_uri: str) -> list[str]:
    """Return the members of a list as they were last fetched; none before that."""
    try:
        lines = places.members(data_dir, list_uri).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in islice(lines, MEMBERS_MAX + 1) if is_did(line)]


def due(data_dir: Path, rules: Sequence[Rule], now: float) -> list[str]:
    """Return the followed lists that were not fetched within REFRESH_SECONDS; ``now`` is in seconds since 1970."""
    return [uri for uri in followed(rules) if not now - REFRESH_SECONDS < fetched_at(data_dir, uri) <= now]


def refresh(data_dir: Path, list_uris: Sequence[str], appview_url: str) -> None:
    """Fetch lists and replace their files; a list that can't be had keeps its file, and the log says so."""
    with appview_client(appview_url) as client:
        for uri in list_uris:
            try:
                members = _members(client, uri)
            except ListUnreadableError as error:
                kept = len(members_of(data_dir, uri))
                log.warning("%s: %s; the %d members that are known stay", uri, error, kept)
                continue
            _write(places.members(data_dir, uri), [f"# {uri}", *members])
            log.info("%s has %d members", uri, len(members))


def forget_others(data_dir: Path, rules: Sequence[Rule]) -> None:
    """Remove the files of lists that no rule follows."""
    wanted = {places.members(data_dir, uri) for uri in followed(rules)}
    for path in places.all_members(data_dir):
        if path not in wanted:
            path.unlink(missing_ok=True)


def fetched_at(data_dir: Path, list_uri: str) -> float:
    """Return when a list was last fetched, in seconds since 1970; 0 for never."""
    try:
        return places.members(data_dir, list_uri).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _members(client: httpx.Client, list_uri: str) -> list[str]:
    """Return all members of a list, each once, in order."""
    until = time.monotonic() + LIST_SECONDS
    members: dict[str, None] = {}
    for page in _pages(client, list_uri):
        members.update(dict.fromkeys(did for item in page if (did := _subject(item)) is not None))
        if len(members) > MEMBERS_MAX:
            log.warning("%s has more than %d members: the rest is left out", list_uri, MEMBERS_MAX)
            break
        if time.monotonic() > until:
            raise ListUnreadableError(f"not all of it came within {LIST_SECONDS:g} seconds")
    return [*members][:MEMBERS_MAX]


def _pages(client: httpx.Client, list_uri: str) -> Iterator[list[object]]:
    cursor, seen = "", set[str]()
    for _ in range(PAGES_MAX):
        params: dict[str, str | int] = {"list": list_uri, "limit": PAGE}
        if cursor:
            params["cursor"] = cursor
        page = _page(client, params)
        items, following = page.get("items"), page.get("cursor")
        if not isinstance(items, list):
            raise ListUnreadableError("the answer has no items")
        yield items
        if not items or not following or not isinstance(following, str):
            return
        if following in seen:
            raise ListUnreadableError("the pages go round in circles")
        seen.add(following)
        cursor = following
    raise ListUnreadableError(f"it has more than {PAGES_MAX} pages")


def _page(client: httpx.Client, params: dict[str, str | int]) -> dict[str, object]:
    try:
        return ask(client, "app.bsky.graph.getList", params)
    except NoAnswerError as error:
        raise ListUnreadableError(str(error)) from error


def _subject(item: object) -> str | None:
    subject = item.get("subject") if isinstance(item, dict) else None
    did = subject.get("did") if isinstance(subject, dict) else None
    return did if is_did(did) else None


def _write(path: Path, lines: Sequence[str]) -> None:
    with whole(path) as draft:
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
