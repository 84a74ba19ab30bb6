"""The check of labelers: each is found by its DID, its stream can be read, and what it says is stored.

Owns: that check. Leaves to others: the labeler's document and key (whoever implements ``LabelerDirectory``), the wire
(``ingest.labels.label_frames``), following it (``ingest``).

How far the store is behind is what the labeler itself says: its first message after our cursor names the time of its
labels. A labeler that has nothing newer sends none.
"""

import sqlite3

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

import sql
from pipeline.ingest.labels.label_frames import seq_and_age, subscribe_url
from pipeline.ingest.labels.label_writer import LabelerDirectory
from pipeline.operate.doctor.findings import Check, SkippedError, WrongError
from pipeline.operate.doctor.network_checks import log_of
from pipeline.settings import Settings
from sql import places
from sql.sqlite import rows_of

OPEN_SECONDS, MESSAGE_SECONDS = 10.0, 3.0
BEHIND_MAX_SECONDS = 300.0


def checks(settings: Settings, directory: LabelerDirectory) -> list[Check]:
    """Return the check of all labelers that the settings name."""
    return [Check("labelers", lambda: _labelers(settings, directory), needs=("PLC directory",))]


def _labelers(settings: Settings, directory: LabelerDirectory) -> str:
    """Look at each labeler, and name all that is wrong at once."""
    if not settings.labelers:
        raise SkippedError("no labeler is followed")
    stored = _stored(settings)
    seen, wrong, advice = [], [], ""
    for did in settings.labelers:
        try:
            seen.append(f"{did}: {_labeler(did, stored.get(did), directory)}")
        except WrongError as error:
            wrong.append(f"{did}: {error.seen}")
            advice = advice or error.advice
    if wrong:
        raise WrongError("; ".join([*wrong, *seen]), advice, blocks=False)
    return "; ".join(seen)


def _stored(settings: Settings) -> dict[str, int]:
    """Return the seq up to which each labeler's stream is stored."""
    try:
        rows = rows_of(places.landing(settings.data_dir), sql.load("landing/status_labelers"))
        return {did: seq for did, seq, *_ in rows}
    except sqlite3.Error:  # the check of the stores says so
        return {}


def _labeler(did: str, stored_seq: int | None, directory: LabelerDirectory) -> str:
    found = directory.find(did)
    if not found.url:
        raise WrongError(found.reason, "correct FORYOU_LABELERS, unless the message says something else")
    message = _first_after(found.url, stored_seq or 0)
    first = None if message is None else seq_and_age(message)
    if not stored_seq:
        if first is not None:
            raise WrongError("nothing of it is stored yet", f"does ingest run? {log_of('ingest')}")
        return "its stream can be read and has no label"
    if message is None:
        return f"stored up to message {stored_seq:,}, its last"
    if first is None:
        return f"its stream does not go on after message {stored_seq:,}: ingest reads what it still has"
    if first[1] > BEHIND_MAX_SECONDS:
        raise WrongError(
            f"stored up to message {stored_seq:,}; the next one is {first[1] / 60:,.0f} minutes old",
            f"wait, if ingest is catching up; else {log_of('ingest')}",
        )
    return f"stored up to message {stored_seq:,}, {first[1]:.0f} s behind"


def _first_after(url: str, seq: int) -> bytes | None:
    """Return the first message of a stream after a cursor, None when there is none."""
    try:
        with connect(
            subscribe_url(url, seq), open_timeout=OPEN_SECONDS, close_timeout=1, max_size=None
        ) as stream:
            try:
                message = stream.recv(timeout=MESSAGE_SECONDS)
            except TimeoutError:
                return None
    except (OSError, WebSocketException) as error:
        reason = str(error) or type(error).__name__
        raise WrongError(f"{url}: {reason}", "wait; meanwhile the labels that are stored count on") from error
    return message if isinstance(message, bytes) else b""
