"""The DID of a handle, as the AppView resolves it.

Owns: that one question, for commands that take a handle. Leaves to others: what is done with the DID.
"""

import re

import httpx
import orjson

from pipeline.errors import PipelineError
from pipeline.identifiers import is_did

TIMEOUT_SECONDS = 10.0
_HANDLE = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.I
)


class UnresolvedHandleError(PipelineError):
    """A handle is none, belongs to nobody, or can't be resolved just now."""


def did_of_handle(appview_url: str, handle: str) -> str:
    """Return the DID of a handle; UnresolvedHandleError says why there is none."""
    handle = handle.lower()
    if _HANDLE.fullmatch(handle) is None:
        raise UnresolvedHandleError(f"{handle!r} is neither a DID nor a handle, such as alice.example")
    url = f"{appview_url}/xrpc/com.atproto.identity.resolveHandle"
    try:
        answer = httpx.get(url, params={"handle": handle}, timeout=TIMEOUT_SECONDS, follow_redirects=False)
        found = orjson.loads(answer.content)
    except (httpx.HTTPError, ValueError) as error:
        raise UnresolvedHandleError(
            f"{appview_url} did not resolve {handle}: {error}; give the DID instead"
        ) from error
    if answer.status_code == 400:
        raise UnresolvedHandleError(f"nobody has the handle {handle}")
    did = found.get("did") if isinstance(found, dict) else None
    if answer.status_code != 200 or not is_did(did):
        raise UnresolvedHandleError(
            f"{appview_url} answers status {answer.status_code} for {handle}; give the DID instead"
        )
    return did
