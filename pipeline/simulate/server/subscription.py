"""What a reader of the stream wants: collections, DIDs, size, cursor.

Owns: the query and the options_update of ``/subscribe``, and selecting lines by them. Leaves to others: sending
(``listener``). As on the real wire, identity and account events come with any wanted collections.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson

from pipeline.simulate.randomness import Flags, Ints
from pipeline.simulate.world.event_columns import COLLECTIONS, Events
from pipeline.simulate.world.people import People

_NSID = re.compile(r"[a-zA-Z][a-zA-Z0-9.-]*(\.\*)?")
_COLLECTIONS_MOST, _DIDS_MOST = 100, 10_000


class SubscriptionError(ValueError):
    """The server refuses a query or an update; the text goes to the reader."""


class LineFilter:
    """One reader's filter. ``cursor``: where to start, in us, None for live; ``hello``: wait for an update first."""

    def __init__(self, people: People, query: str) -> None:
        values = parse_qs(query, keep_blank_values=True)
        self._people = people
        self.cursor = _integer(values, "cursor")
        self.hello = values.get("requireHello") == ["true"]
        if values.get("compress") == ["true"]:
            raise SubscriptionError("compress: this server sends text frames only")
        self._set(
            values.get("wantedCollections", []),
            values.get("wantedDids", []),
            _integer(values, "maxMessageSizeBytes") or 0,
        )

    def update(self, message: "str | bytes") -> None:
        """Apply a client's options_update; SubscriptionError when it is invalid."""
        try:
            body: Any = orjson.loads(message)
            if body["type"] != "options_update":
                raise SubscriptionError("unknown message type")
            payload = body["payload"]
            self._set(
                payload.get("wantedCollections") or [],
                payload.get("wantedDids") or [],
                payload.get("maxMessageSizeBytes") or 0,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SubscriptionError(f"invalid options_update: {error}") from error
        self.hello = False

    def select(self, events: Events, lines: list[bytes]) -> list[bytes]:
        """Return the lines that this reader wants."""
        rows: Flags | None = None
        if not self._kinds.all():
            rows = self._kinds[events.kind]
        if self._actors is not None:
            wanted = np.isin(events.actor, self._actors)
            rows = wanted if rows is None else rows & wanted
        if rows is not None:
            lines = [lines[row] for row in np.flatnonzero(rows).tolist()]
        if self._size > 0:
            lines = [line for line in lines if len(line) <= self._size]
        return lines

    def _set(self, collections: Iterable[str], dids: Iterable[str], size: int) -> None:
        collections, dids = list(collections), list(dids)
        if len(collections) > _COLLECTIONS_MOST or len(dids) > _DIDS_MOST:
            raise SubscriptionError("too many wanted collections or DIDs")
        for name in collections:
            if not isinstance(name, str) or not _NSID.fullmatch(name):
                raise SubscriptionError(f"invalid collection: {name!r}")
        for did in dids:
            if not isinstance(did, str) or not did.startswith("did:"):
                raise SubscriptionError(f"invalid did: {did!r}")
        if not isinstance(size, int) or isinstance(size, bool):
            raise SubscriptionError("maxMessageSizeBytes must be a number")
        self._kinds: Flags = np.array(
            [
                collection is None
                or not collections
                or any(_matches(name, collection) for name in collections)
                for collection in COLLECTIONS
            ]
        )
        known = [self._people.number[did] for did in dids if did in self._people.number]
        self._actors: Ints | None = np.array(known, np.int64) if dids else None
        self._size = max(0, size)


def _matches(wanted: str, collection: str) -> bool:
    return collection.startswith(wanted[:-1]) if wanted.endswith(".*") else collection == wanted


def _integer(values: dict[str, list[str]], name: str) -> int | None:
    text = values.get(name, [""])[0]
    if text == "":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise SubscriptionError(f"invalid {name}: {text!r}") from error
