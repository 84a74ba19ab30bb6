"""A publisher's repository on its PDS: the seven XRPC calls that publishing needs.

Owns: those calls, and saying in plain words why one was refused. Leaves to others: what is written.

They are made with httpx directly. The SDK's client takes most of a second and a great deal of memory to
import for these calls, and it reads a record into a model of its own: a field that it does not know yet would
be lost when the record is written back.

Invariant: the password is in the body of one request and nowhere else, neither in a message nor in a log.
"""

import base64
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from pipeline.errors import PipelineError
from pipeline.operate.feed_record.service_check import FEED_COLLECTION, why

REFUSED = {
    "AuthFactorTokenRequired": "that is the account's main password, and the account asks for an e-mailed code "
    "besides; use an app password (Bluesky: Settings, Privacy and security, App passwords)",
    "AccountTakedown": "the account has been taken down",
    "AccountDeactivated": "the account is deactivated: activate it first",
    "RateLimitExceeded": "too many attempts; the host allows 30 logins in five minutes and 300 a day: wait",
    "InvalidSwap": "somebody else changed the record meanwhile: run the command again",
}
WRONG_PASSWORD = (
    "the password is wrong for {did} on {host}; use an app password of that very account (Bluesky: Settings, Privacy "
    "and security, App passwords), in FORYOU_APP_PASSWORD or at the prompt"
)


class RepositoryError(PipelineError):
    """The repository's host refused a call, or can't be reached."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the repository has it, and its CID."""

    value: dict[str, Any]
    cid: str


class Repository:
    """One DID's repository; reading needs no login."""

    def __init__(self, client: httpx.Client, host: str, did: str) -> None:
        self._client = client
        self.host = host
        self.did = did

    def record(self, rkey: str) -> Stored | None:
        """Return the feed record of a key, None when there is none."""
        answer = self._send(
            "GET",
            "com.atproto.repo.getRecord",
            params={"repo": self.did, "collection": FEED_COLLECTION, "rkey": rkey},
        )
        if answer.status_code == 400 and _error(answer) == "RecordNotFound":
            return None
        found = self._body(answer, "reading the record")
        value, cid = found.get("value"), found.get("cid")
        if not isinstance(value, dict) or not isinstance(cid, str):
            raise RepositoryError(f"{self.host} answers no record where one was asked for")
        return Stored(value, cid)

    def login(self, password: str) -> "Session":
        """Return a session of the repository's owner; RepositoryError when the password is not theirs."""
        answer = self._send(
            "POST",
            "com.atproto.server.createSession",
            json={"identifier": self.did, "password": password},
        )
        if answer.status_code == 401 and _error(answer) in ("AuthenticationRequired", ""):
            raise RepositoryError(WRONG_PASSWORD.format(did=self.did, host=self.host))
        body = self._body(answer, "logging in")
        tokens = body.get("accessJwt"), body.get("refreshJwt")
        if body.get("did") != self.did or not all(isinstance(token, str) for token in tokens):
            raise RepositoryError(f"{self.host} logged in {body.get('did')!r} instead of {self.did}")
        return Session(self, str(tokens[0]), str(tokens[1]))

    def _send(self, method: str, name: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, f"{self.host}/xrpc/{name}", **options)
        except httpx.HTTPError as error:
            raise RepositoryError(f"the account's host {self.host} can't be reached: {why(error)}") from error

    def _body(self, answer: httpx.Response, what: str) -> dict[str, Any]:
        if answer.status_code == 200:
            try:
                body = answer.json() if answer.content else {}
            except ValueError:
                body = None
            if isinstance(body, dict):
                return body
            raise RepositoryError(f"{what}: {self.host} answers no JSON object")
        error = _error(answer)
        reason = REFUSED.get("RateLimitExceeded" if answer.status_code == 429 else error)
        raise RepositoryError(
            f"{what}: {reason or f'{self.host} says {answer.status_code} {_message(answer)}'}"
        )


class Session:
    """A login, ended with the block; use ``with repository.login(password) as session``."""

    def __init__(self, repository: Repository, access: str, refresh: str) -> None:
        self._repository = repository
        self._access = access
        self._refresh = refresh

    def __enter__(self) -> Self:
        """Begin; the login has been made already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the login on the host, as far as it can be reached."""
        try:
            self._call("com.atproto.server.deleteSession", token=self._refresh)
        except RepositoryError:
            if error is None:
                raise

    @property
    def has_main_password(self) -> bool:
        """Whether the login was made with the account's main password, which can do anything."""
        try:
            claims = self._access.split(".")[1]
            scope = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["scope"]
        except (ValueError, LookupError, TypeError):
            return False
        return bool(scope == "com.atproto.access")

    def upload(self, content: bytes, mime: str) -> dict[str, Any]:
        """Store bytes and return the blob that a record refers to them by."""
        blob = self._call("com.atproto.repo.uploadBlob", content=content, headers={"Content-Type": mime}).get(
            "blob"
        )
        if not isinstance(blob, dict):
            raise RepositoryError(f"{self._repository.host} took the picture and named no blob for it")
        return blob

    def put(self, rkey: str, record: dict[str, Any], replaced: Stored | None) -> str:
        """Write the feed record in place of the one that was read; return its CID."""
        body = self._named(rkey) | {"record": record, "swapRecord": replaced.cid if replaced else None}
        return str(self._call("com.atproto.repo.putRecord", json=body).get("cid"))

    def delete(self, rkey: str, replaced: Stored) -> None:
        """Delete the feed record that was read."""
        self._call("com.atproto.repo.deleteRecord", json=self._named(rkey) | {"swapRecord": replaced.cid})

    def service_token(self, audience: str, method: str) -> str:
        """Return a token with which the account itself may call ``method`` of a service."""
        found = self._call("com.atproto.server.getServiceAuth", params={"aud": audience, "lxm": method})
        return str(found.get("token"))

    def _named(self, rkey: str) -> dict[str, Any]:
        return {"repo": self._repository.did, "collection": FEED_COLLECTION, "rkey": rkey}

    def _call(self, name: str, *, token: str = "", **options: Any) -> dict[str, Any]:
        headers = options.pop("headers", {}) | {"Authorization": f"Bearer {token or self._access}"}
        method = "GET" if "params" in options else "POST"
        answer = self._repository._send(method, name, headers=headers, **options)
        return self._repository._body(answer, name.rpartition(".")[2])


def _error(answer: httpx.Response) -> str:
    return _field(answer, "error")


def _message(answer: httpx.Response) -> str:
    return " ".join(text for text in (_error(answer), _field(answer, "message")[:300]) if text)


def _field(answer: httpx.Response, name: str) -> str:
    try:
        body = answer.json()
    except ValueError:
        return ""
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""
