"""From what somebody types to a DID.

Owns: the syntax of handles, and asking the operator's AppView. Leaves to others: the HTTP exchange (``fetch``).
"""

import re
from urllib.parse import urlencode

import orjson

from serving.identity.dids import target_below
from serving.identity.fetch import Fetcher, FetchError

_HANDLE = re.compile(
    r"(?=.{3,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_DID = re.compile(r"did:(?:plc:[a-z0-9]{1,24}|web:[A-Za-z0-9.%-]{1,253})")  # no longer than the methods allow
_PROFILE = "https://bsky.app/profile/"
_LATER = "handles can't be looked up just now; a DID works"


class HandleError(Exception):
    """What was typed leads to no DID; the text says why, for the page."""


class Handles:
    """Asks an AppView; may be called from any thread."""

    def __init__(self, appview_url: str) -> None:
        self._appview_url = appview_url
        self._fetcher = Fetcher(
            allowed=lambda _address: True, domain_lookups=None
        )  # the operator chose the host

    def did_of(self, typed: str) -> str:
        """Return the DID of a handle, a profile's address or a DID; raise HandleError."""
        text = typed.strip().removeprefix(_PROFILE).removeprefix("@").strip("/")
        if _DID.fullmatch(text):
            return text
        handle = text.lower()
        if not _HANDLE.fullmatch(handle):
            raise HandleError("that is neither a handle, such as alice.bsky.social, nor a DID")
        path = "/xrpc/com.atproto.identity.resolveHandle?" + urlencode({"handle": handle})
        try:
            answer = self._fetcher.get(target_below(self._appview_url, path))
            did = orjson.loads(answer.body).get("did") if answer.status == 200 else None
        except (FetchError, orjson.JSONDecodeError, AttributeError) as error:
            raise HandleError(_LATER) from error
        if answer.status in (400, 404):
            raise HandleError(f"nobody has the handle {handle}")
        if not isinstance(did, str) or not _DID.fullmatch(did):
            raise HandleError(_LATER)
        return did
