"""A publisher's repository on its PDS: the calls that publishing and the doctor need.

Owns: those calls, made with atproto's client, and a plain reason when one is refused. Leaves to others: what is
written.

The login is ``create_session`` and not the client's ``login``, which goes on at whatever address the answer names.
For the same reason no redirect is followed.

Invariant: the password is in the body of one request and nowhere else, neither in a message nor in a log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from atproto import Client, Request, get_jwt_payload, models
from atproto.exceptions import AtProtocolError, RequestErrorBase, TokenDecodeError

from pipeline.errors import PipelineError
from pipeline.operate.feed_record.service_check import FEED_COLLECTION, TIMEOUT_SECONDS, why

REFUSED = {
    "AuthFactorTokenRequired": "this is the account's main password, and the account also asks for an e-mailed code; "
    "use an app password (Bluesky: Settings, Privacy and security, App passwords)",
    "AccountTakedown": "the account has been taken down",
    "AccountDeactivated": "the account is deactivated: activate it first",
    "RateLimitExceeded": "too many attempts; the host allows 30 logins in five minutes and 300 a day: wait",
    "InvalidSwap": "somebody else changed the record meanwhile: run the command again",
}
WRONG_PASSWORD = (
    "the password is wrong for {did} on {host}; use an app password of that account (Bluesky: Settings, Privacy and "
    "security, App passwords), in FORYOU_APP_PASSWORD or at the prompt"
)


class RepositoryError(PipelineError):
    """The repository's host refused a call, or can't be reached."""

    def __init__(self, text: str, status: int = 0, name: str = "") -> None:
        super().__init__(text)
        self.status, self.name = status, name  # of the XRPC error, where the host answered with one


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the repository has it, and its CID."""

    value: dict[str, Any]
    cid: str


class Repository:
    """One DID's repository, open within a ``with`` block.

    Reading needs no login. The first other call logs in, with what ``password`` returns; the end of the block logs out.
    """

    def __init__(self, host: str, did: str, password: Callable[[], str] = str) -> None:
        self.host, self.did, self._password = host, did, password
        request = Request(timeout=TIMEOUT_SECONDS, event_hooks={"response": [self._refuse_redirect]})
        self._client = Client(host, request=request)
        self._access = self._refresh = ""

    def __enter__(self) -> Self:
        """Open it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the login, if there was one, as far as the host can be reached."""
        try:
            if self._refresh:
                call = self._client.com.atproto.server.delete_session
                self._call("logging out", call, token=self._refresh)
        except RepositoryError:
            if error is None:
                raise
        finally:
            self._client.request.close()

    def record(self, rkey: str) -> Stored | None:
        """Return the feed record of a key, None when there is none."""
        try:
            # As JSON: the client's models would add types to what is in the record.
            call, nsid = self._client.invoke_query, "com.atproto.repo.getRecord"
            named = models.ComAtprotoRepoGetRecord.Params(**self._named(rkey))
            found = self._call("reading the record", call, nsid=nsid, params=named).content
        except RepositoryError as error:
            if error.name == "RecordNotFound":
                return None
            raise
        value, cid = (found.get("value"), found.get("cid")) if isinstance(found, dict) else (None, None)
        if not isinstance(value, dict):
            raise RepositoryError(
                f"reading the record: {self.host} answers something that the lexicon does not allow"
            )
        if not isinstance(cid, str) or not cid:
            raise RepositoryError(f"reading the record: {self.host} does not say which version it is")
        return Stored(value, cid)

    def _log_in(self) -> None:
        """Log in the repository's owner; RepositoryError when the password is not theirs."""
        try:
            call = self._client.com.atproto.server.create_session
            session = self._call(
                "logging in", call, data={"identifier": self.did, "password": self._password()}
            )
        except RepositoryError as error:
            if error.status == 401 and error.name in ("AuthenticationRequired", ""):
                raise RepositoryError(WRONG_PASSWORD.format(did=self.did, host=self.host)) from error
            raise
        if session.did != self.did:
            raise RepositoryError(f"{self.host} logged in {session.did!r} instead of {self.did}")
        self._access, self._refresh = session.access_jwt, session.refresh_jwt

    @property
    def has_main_password(self) -> bool:
        """Whether a login was made with the account's main password, which can do anything."""
        try:
            return bool(get_jwt_payload(self._access).scope == "com.atproto.access")
        except TokenDecodeError:
            return False

    def upload(self, content: bytes, mime: str) -> dict[str, Any]:
        """Store bytes and return the blob by which a record refers to them."""
        call = self._client.com.atproto.repo.upload_blob
        headers = {"Content-Type": mime}
        found = self._call_as_owner("uploading the picture", call, data=content, headers=headers)
        return dict(models.get_model_as_dict(found.blob))

    def put(self, rkey: str, record: dict[str, Any], replaced: Stored | None) -> None:
        """Write the feed record in place of the one that was read, or where none was."""
        body = {**self._named(rkey), "record": record, "swapRecord": replaced.cid if replaced else None}
        # As JSON: the client's model leaves out a swapRecord of null, which says that there must be no record yet.
        call = self._client.invoke_procedure
        self._call_as_owner("writing the record", call, nsid="com.atproto.repo.putRecord", json=body)

    def delete(self, rkey: str, replaced: Stored) -> None:
        """Delete the feed record that was read."""
        data = {**self._named(rkey), "swap_record": replaced.cid}
        self._call_as_owner("deleting the record", self._client.com.atproto.repo.delete_record, data=data)

    def service_token(self, audience: str, method: str) -> str:
        """Return a token with which the account itself may call ``method`` of a service."""
        call = self._client.com.atproto.server.get_service_auth
        return str(
            self._call_as_owner("getting a token", call, params={"aud": audience, "lxm": method}).token
        )

    def _named(self, rkey: str) -> dict[str, str]:
        return {"repo": self.did, "collection": FEED_COLLECTION, "rkey": rkey}

    def _call_as_owner(self, what: str, call: Callable[..., Any], **options: Any) -> Any:
        if not self._access:
            self._log_in()
        return self._call(what, call, token=self._access, **options)

    def _call(self, what: str, call: Callable[..., Any], *, token: str = "", **options: Any) -> Any:
        """Make a call; RepositoryError says why it failed."""
        if token:
            options["headers"] = options.get("headers", {}) | {"Authorization": f"Bearer {token}"}
        try:
            return call(**options)
        except RequestErrorBase as error:
            if error.response is not None:
                raise self._refused(what, error.response.status_code, error.response.content) from error
            reason = why(error.__cause__ or error)
        except httpx.HTTPError as error:
            reason = why(error)
        except (AtProtocolError, ValueError) as error:
            # Not the error's own words: they quote the answer, which may hold a token.
            raise RepositoryError(
                f"{what}: {self.host} answers something that the lexicon does not allow"
            ) from error
        raise RepositoryError(f"the account's host {self.host} can't be reached: {reason}")

    def _refused(self, what: str, status: int, content: Any) -> RepositoryError:
        name = str(getattr(content, "error", None) or "")
        said = f"{status} {name} {str(getattr(content, 'message', None) or '')[:300]}".rstrip()
        reason = REFUSED.get("RateLimitExceeded" if status == 429 else name, f"{self.host} says {said}")
        return RepositoryError(f"{what}: {reason}", status, name)

    def _refuse_redirect(self, answer: httpx.Response) -> None:
        if answer.is_redirect:
            goal = answer.headers["location"]
            raise RepositoryError(
                f"the account's host {self.host} redirects to {goal}, which is not followed"
            )
