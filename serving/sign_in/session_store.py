"""sessions.sqlite: who is signing in, and who is signed in.

Owns: the file, its rows and their number. Leaves to others: what a sign-in is (``sign_in_flow``), and cookies
(``browser_sessions``).

Invariants: a sign-in has one answer. What a browser or a server knows is stored as a hash. What is deleted is
overwritten. A request waits for the file no longer than ``BUSY_SECONDS``; each has a connection of its own.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import sql
from serving.budgets.limits import SESSIONS_KEPT, SESSIONS_OF_VIEWER
from serving.web_errors import UnavailableError
from sql import sqlite

BUSY_SECONDS = 2.0
SIGN_IN_SECONDS = 600.0
SESSION_SECONDS = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """What must be known when the answer comes."""

    browser_hash: bytes
    did: str
    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    verifier: str
    proof_key: str
    nonce: str
    began_us: int


class SessionStore:
    """The store; may be used from any thread, and makes its file at the first sign-in."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, state: str, begun: BegunSignIn) -> None:
        """Store a sign-in that was begun, and remove those that got no answer in time."""
        with self._changing() as connection:
            until_us = begun.began_us - int(SIGN_IN_SECONDS * 1e6)
            connection.execute("DELETE FROM sign_ins WHERE began_us < ?", (until_us,))
            connection.execute(
                sql.load("sessions/begin_sign_in"), asdict(begun) | {"state_hash": hash_of(state)}
            )

    def take(self, state: str, now: float) -> BegunSignIn | None:
        """Take out the sign-in that an answer names; None when there is none, any more or in time."""
        if not self._path.exists():
            return None
        with self._changing() as connection:
            rows = connection.execute(
                sql.load("sessions/take_sign_in"), {"state_hash": hash_of(state)}
            ).fetchall()
        if not rows:
            return None
        begun = BegunSignIn(*rows[0])
        return begun if 0 <= now * 1e6 - begun.began_us <= SIGN_IN_SECONDS * 1e6 else None

    def open_session(self, session: str, did: str, now: float) -> None:
        """Store that a browser is signed in; the oldest sessions make room."""
        now_us = int(now * 1e6)
        row = (hash_of(session), did, now_us, now_us + int(SESSION_SECONDS * 1e6))
        with self._changing() as connection:
            connection.execute("DELETE FROM sessions WHERE until_us <= ?", (now_us,))
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", row)
            connection.execute(
                sql.load("sessions/prune_sessions_of"), {"did": did, "kept": SESSIONS_OF_VIEWER}
            )
            connection.execute(sql.load("sessions/prune_sessions"), {"kept": SESSIONS_KEPT})

    def viewer_of(self, session: str, now: float) -> str | None:
        """Return who a browser is signed in as."""
        if not self._path.exists():
            return None
        with self._failing(), closing(self._open()) as connection:
            row = connection.execute(
                "SELECT did FROM sessions WHERE session_hash = ? AND until_us > ?",
                (hash_of(session), int(now * 1e6)),
            ).fetchone()
        return None if row is None else str(row[0])

    def close_session(self, session: str) -> None:
        """End a browser's session."""
        if self._path.exists():
            with self._changing() as connection:
                connection.execute("DELETE FROM sessions WHERE session_hash = ?", (hash_of(session),))

    def close_all(self, did: str, until_us: int) -> int:
        """End every session and sign-in of a DID that began up to a time; return how many."""
        if not self._path.exists():
            return 0
        with self._changing() as connection:
            return sum(
                connection.execute(
                    f"DELETE FROM {table} WHERE did = ? AND began_us <= ?", (did, until_us)
                ).rowcount
                for table in ("sessions", "sign_ins")
            )

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._failing(), closing(self._open()) as connection, sqlite.transaction(connection):
            yield connection

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite.SchemaError, OSError) as error:
            raise UnavailableError("nobody can be signed in just now") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite.open_migrated(self._path, "sessions", busy_seconds=BUSY_SECONDS)
        connection.execute("PRAGMA secure_delete = ON")
        return connection


def hash_of(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
