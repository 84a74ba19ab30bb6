"""The archive of a Jetstream over HTTP: the list of its segments, and a segment as a file on this disk.

Owns: requests, the operator's key, retries, and resuming a download that was cut. Leaves to others: which segments are
wanted (``archived_days``), what is in them (``segments``).

Invariants: the key is in a header of requests to the archive and nowhere else. It goes over https or to this machine.
When the path of a file is returned, the file is complete, of one generation and of the announced size.

Why not the downloader of the atproto package: it holds a whole segment in memory twice, starts again after any error,
and takes a short answer for the end of the file. It also misses that the archive rewrites a segment between two parts,
which it does to drop deleted records. The tests compare its decoder with ours.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import orjson

from pipeline.backoff import pause_seconds
from pipeline.errors import BackfillError

log = logging.getLogger("foryou.backfill")

NSID = "network.bsky.jetstream."
TRIES = 8  # in a row without a byte gained
PAUSE_MAX_SECONDS = 60.0
QUOTA_WAIT_SECONDS = 5.0  # when the archive does not say how long
QUOTA_WAIT_MAX_SECONDS = 900.0
PAGES_MAX = 10_000
SEGMENT_BYTES_MAX = 8 << 30

_NAME = re.compile(r"seg_[0-9a-z]{1,32}\.jss", re.ASCII)
_CHECKSUM = re.compile(r"[0-9a-fA-F]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment as the archive lists it, with the times at which its first and last event were witnessed."""

    name: str
    checksum: str
    size_bytes: int
    events: int
    first_us: int
    last_us: int


class _RewrittenError(Exception):
    """The archive has rewritten a segment."""


class Archive:
    """An archive at an address, for the length of one run."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """``wait(seconds)`` may raise to end the run. So may ``on_bytes``, which is called with each part's size."""
        parts = urlsplit(url)
        if key and parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise BackfillError(f"{url} is not https, so others could read the archive's key on the way")
        self.host = parts.netloc.rpartition("@")[2]
        self._wait = wait
        self.on_bytes: Callable[[int], None] = lambda _count: None
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/xrpc/",
            headers={"User-Agent": "foryou", **({"Authorization": f"Bearer {key}"} if key else {})},
            timeout=httpx.Timeout(30.0, connect=10.0),
            follow_redirects=True,  # perhaps to a store of files; httpx then drops the key
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def segments(self) -> list[Segment]:
        """Return every sealed segment, oldest first; BackfillError when the archive can't be read."""
        found: list[Segment] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = self._listing(cursor)
            found += [segment for entry in page["segments"] if (segment := _segment(entry)) is not None]
            following = page.get("cursor")
            if not following:
                return sorted(found, key=lambda segment: segment.first_us)
            if following == cursor or not isinstance(following, str):
                break
            cursor = following
        raise BackfillError(f"{self.host} has an endless list of segments")

    def fetch(self, segment: Segment, folder: Path) -> Path:
        """Download a segment into a folder, resuming an earlier try; return the path of its file.

        BackfillError when the archive refuses it, or keeps failing without sending another byte.
        """
        failures = 0
        while True:
            path = folder / f"{segment.name}.{segment.checksum}"
            for other in folder.glob(f"{segment.name}.*"):
                if other != path:
                    other.unlink()  # of a generation that the archive has rewritten
            have = path.stat().st_size if path.exists() else 0
            if have == segment.size_bytes:
                return path
            if have > segment.size_bytes:
                path.unlink()
                continue
            try:
                self._download(segment, path, have)
                reason = "the connection ended early"
            except _RewrittenError:
                segment, reason = self._listed_again(segment), "it was rewritten during the download"
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            gained = path.exists() and path.stat().st_size > have
            failures = 0 if gained else failures + 1
            if not gained:
                self._pause_or_fail(failures, f"{segment.name}: {reason}")

    def _download(self, segment: Segment, path: Path, have: int) -> None:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": f'"{segment.checksum}"'}
        with self._client.stream(
            "GET", NSID + "getSegment", params={"name": segment.name}, headers=headers
        ) as response:
            if response.status_code == 416:
                path.unlink(missing_ok=True)
                return
            if self._refused(response):
                return
            etag = response.headers.get("etag", "").removeprefix("W/").strip('"')
            if etag and etag != segment.checksum:
                raise _RewrittenError
            resumed = response.status_code == 206 and _range_start(response) == have
            with path.open("ab" if resumed else "wb") as file:
                for piece in response.iter_raw():
                    file.write(piece)
                    self.on_bytes(len(piece))

    def _listed_again(self, segment: Segment) -> Segment:
        for listed in self.segments():
            if listed.name == segment.name:
                return listed
        raise BackfillError(f"{self.host} no longer has {segment.name}: run the same command again")

    def _listing(self, cursor: str | None) -> dict[str, Any]:
        params = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
        failures = 0
        while True:
            try:
                response = self._client.get(NSID + "listSegments", params=params)
                if not self._refused(response):
                    page = orjson.loads(response.content)
                    if isinstance(page, dict) and isinstance(page.get("segments"), list):
                        return page
                    raise BackfillError(f"{self.host} is not an archive: its list of segments is malformed")
                reason = f"status {response.status_code}"
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
            except ValueError as error:
                raise BackfillError(f"{self.host} is not an archive: it does not answer with JSON") from error
            failures += 1
            self._pause_or_fail(failures, reason)

    def _refused(self, response: httpx.Response) -> bool:
        """Tell whether to send the request again, after waiting for a quota. BackfillError when that would not help."""
        status = response.status_code
        if status == 429:
            seconds = _retry_seconds(response)
            log.info("%s: the quota is used up; waiting %.0f s", self.host, seconds)
            self._wait(seconds)
            return True
        if status in (401, 403):
            raise BackfillError(
                f"{self.host} refuses the archive's key (status {status}): "
                "pass one with --key-file or FORYOU_ARCHIVE_KEY"
            )
        if status in (200, 206):
            return False
        if status >= 500 or status == 408:
            return True
        raise BackfillError(f"{self.host} answers with status {status}: is it the archive of a Jetstream v2?")

    def _pause_or_fail(self, failures: int, reason: str) -> None:
        if failures >= TRIES:
            raise BackfillError(
                f"{self.host} can't be read ({reason}): run the same command later, it will resume here"
            )
        self._wait(pause_seconds(failures - 1, 0.5, PAUSE_MAX_SECONDS))


def _segment(entry: Any) -> Segment | None:
    """Return a listed segment, None when it is malformed. Its name becomes the name of a file, so it is checked."""
    if not isinstance(entry, dict):
        return None
    name, checksum = entry.get("name"), entry.get("checksum")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        return None
    if not (isinstance(checksum, str) and _CHECKSUM.fullmatch(checksum)):
        return None
    size, events = entry.get("sizeBytes"), entry.get("eventCount")
    first = entry.get("minWitnessedAt", entry.get("minIndexedAt"))
    last = entry.get("maxWitnessedAt", entry.get("maxIndexedAt"))
    if type(size) is not int or type(events) is not int or type(first) is not int or type(last) is not int:
        return None
    if not 0 < size <= SEGMENT_BYTES_MAX or first > last or events < 0:
        return None
    return Segment(name, checksum, size, events, first, last)


def _range_start(response: httpx.Response) -> int:
    match = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return int(match[1]) if match else -1


def _retry_seconds(response: httpx.Response) -> float:
    """Return the wait that a server demands: Retry-After in seconds or as a date, or RateLimit-Reset."""
    text = response.headers.get("retry-after", "")
    seconds = QUOTA_WAIT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            reset = response.headers.get("ratelimit-reset", "")
            if reset.isdigit():
                seconds = int(reset) - (time.time() if int(reset) > 1_000_000_000 else 0)
    return min(max(seconds, 1.0), QUOTA_WAIT_MAX_SECONDS)
