"""One bounded HTTP exchange: a GET, or a POST of a form.

Owns: name lookup, the address check, TLS, the deadline and the size limit. Leaves to others: what to ask for
(``dids``), what the answer means (``resolver``), and connections between two requests (``idle_connections``).

Invariants: the connection goes to the address that was checked. No redirect is followed, no proxy variable is read.
One deadline holds for the whole exchange, so a host that sends a byte now and then is left in time.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from serving.budgets.limits import DOMAIN_LOOKUPS, LOOKUPS
from serving.budgets.takers import registrable
from serving.identity.dids import HttpTarget
from serving.identity.idle_connections import IdleConnections
from serving.identity.lookup_slots import DomainSlots, Slots

DEADLINE_SECONDS = 3.0
MAX_BODY_BYTES = 65_536
MAX_HEADER_BYTES = 32_768
MAX_ADDRESSES = 3  # tried one after another


class FetchError(Exception):
    """There is no answer: no such name, no connection, a bad certificate, too slow."""


class FetchSlowError(FetchError):
    """There was no answer, or no whole one, in time."""


class FetchBusyError(FetchError):
    """There was no room for the name lookup; this says nothing about the host."""


class FetchRefusedError(FetchError):
    """The target or its answer breaks a rule, so trying again would not help."""


class FetchTooLargeError(FetchRefusedError):
    """The answer is larger than it may be; a smaller part of it may fit."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP status, a whole body, and a few headers, as they came: two ask for patience, one has a nonce (RFC 9449).

    A GET's answer has a body only with status 200.
    """

    status: int
    body: bytes
    retry_after: str = ""
    rate_limit_reset: str = ""
    dpop_nonce: str = ""


class _Form(NamedTuple):
    """What a POST sends; header values are ours."""

    body: bytes
    headers: Mapping[str, str]


def look_up(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a name; blocks as long as the system's resolver does."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class Fetcher:
    """Fetches small documents; ``allowed`` says which addresses a name may lead to."""

    allowed: Callable[[str], bool]
    lookup: Callable[[str, int], list[str]] = look_up
    tls: ssl.SSLContext | None = None
    deadline_seconds: float = DEADLINE_SECONDS
    idle: IdleConnections | None = None  # only for hosts that the operator chose
    max_body_bytes: int = MAX_BODY_BYTES
    # A name lookup can't be interrupted, so those under way are counted until they end, not until somebody gives up.
    # ``domain_lookups`` is None for hosts that the operator chose.
    _lookups: Slots = field(default_factory=lambda: Slots(LOOKUPS))
    domain_lookups: DomainSlots | None = field(default_factory=lambda: DomainSlots(DOMAIN_LOOKUPS))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, target: HttpTarget, *, known: bool = False, seconds: float | None = None) -> HttpAnswer:
        """Return the answer to a GET, whatever its status; raise FetchError, or FetchRefusedError for broken rules.

        ``known`` says that it is asked for somebody who is no stranger: some name lookups are kept for them.
        ``seconds`` is how long it may take, by default ``deadline_seconds``.
        """
        return self._bounded(target, None, known, seconds)

    def post(
        self,
        target: HttpTarget,
        form: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        seconds: float | None = None,
    ) -> HttpAnswer:
        """Return the answer to a POST of a form, whatever its status, with its body; raise as ``get`` does."""
        return self._bounded(target, _Form(urlencode(form).encode("ascii"), headers), False, seconds)

    def _bounded(
        self, target: HttpTarget, form: _Form | None, known: bool, seconds: float | None
    ) -> HttpAnswer:
        deadline = time.monotonic() + (self.deadline_seconds if seconds is None else seconds)
        try:
            return self._sent(target, form, deadline, known)
        except TimeoutError as error:
            raise FetchSlowError(f"{type(error).__name__}: {error}") from error
        except OSError as error:
            raise FetchError(f"{type(error).__name__}: {error}") from error

    def _sent(self, target: HttpTarget, form: _Form | None, deadline: float, known: bool) -> HttpAnswer:
        if self.idle is not None:
            while (connection := self.idle.take(target[:3])) is not None:
                try:
                    return self._exchange(connection, target, form, deadline)
                except (TimeoutError, FetchRefusedError):
                    raise
                except (OSError, FetchError):
                    continue  # the other end closed it as we wrote
        addresses = [text for text in self._addresses(target, deadline, known) if self.allowed(text)]
        if not addresses:
            raise FetchRefusedError("the host has no public address")
        failure: OSError | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                connection = socket.create_connection((address, target.port), timeout=_left(deadline))
            except OSError as error:
                failure = error
                continue
            return self._exchange(self._secured(connection, target, deadline), target, form, deadline)
        kind = FetchSlowError if isinstance(failure, TimeoutError) else FetchError
        raise kind(f"no connection: {failure}")

    def _addresses(self, target: HttpTarget, deadline: float, known: bool) -> list[str]:
        try:
            return [str(ipaddress.ip_address(target.host))]
        except ValueError:
            pass
        domain = registrable(target.host)
        domains = self.domain_lookups
        if domains is not None and not domains.acquire(domain):
            raise FetchBusyError("too many lookups of names of this domain are under way")
        if not self._lookups.acquire(known=known):
            if domains is not None:
                domains.release(domain)
            raise FetchBusyError("too many name lookups are under way")
        found: list[list[str]] = []

        def work() -> None:
            try:
                found.append(self.lookup(target.host, target.port))
            except (OSError, UnicodeError):
                found.append([])
            finally:
                self._lookups.release(known=known)
                if domains is not None:
                    domains.release(domain)

        thread = threading.Thread(target=work, name="lookup", daemon=True)
        thread.start()
        thread.join(_left(deadline))
        if not found:
            raise FetchSlowError("the name lookup took too long")
        if not found[0]:
            raise FetchError("unknown host name")
        return found[0]

    def _secured(self, connection: socket.socket, target: HttpTarget, deadline: float) -> socket.socket:
        if target.scheme != "https":
            return connection
        try:
            connection.settimeout(_left(deadline))
            return self._tls_context().wrap_socket(connection, server_hostname=target.host)
        except BaseException:
            connection.close()
            raise

    def _exchange(
        self, connection: socket.socket, target: HttpTarget, form: _Form | None, deadline: float
    ) -> HttpAnswer:
        default_port = 443 if target.scheme == "https" else 80
        host = f"[{target.host}]" if ":" in target.host else target.host
        if target.port != default_port:
            host = f"{host}:{target.port}"
        method, fields = "GET", ""
        if form is not None:
            method = "POST"
            fields = "Content-Type: application/x-www-form-urlencoded\r\n"
            fields += f"Content-Length: {len(form.body)}\r\n"
            fields += "".join(f"{name}: {value}\r\n" for name, value in form.headers.items())
        request = (
            f"{method} {target.path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
            f"User-Agent: foryou\r\nAccept-Encoding: identity\r\n{fields}"
            f"Connection: {'close' if self.idle is None else 'keep-alive'}\r\n\r\n"
        )
        reusable = False
        try:
            connection.settimeout(_left(deadline))
            connection.sendall(request.encode("ascii") + (b"" if form is None else form.body))
            answer, reusable = _read_answer(connection, deadline, self.max_body_bytes, whole=form is not None)
        except (http.client.HTTPException, ValueError) as error:
            raise FetchError(f"{type(error).__name__}: {error}") from error
        else:
            return answer
        finally:
            if reusable and self.idle is not None:
                self.idle.give(target[:3], connection)
            else:
                connection.close()

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:  # making a context reads every certificate of the system, so it happens once
            if self.tls is None:
                self.tls = ssl.create_default_context()
            return self.tls


class _DeadlineReader(io.RawIOBase):
    """A socket read with one deadline and one byte limit for everything; stands in for it in http.client."""

    def __init__(self, connection: socket.socket, deadline: float, max_bytes: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._bytes_left = max_bytes

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._bytes_left <= 0:
            raise FetchTooLargeError("the answer is too large")
        view = memoryview(buffer)[: self._bytes_left]
        self._connection.settimeout(_left(self._deadline))
        count = self._connection.recv_into(view)
        self._bytes_left -= count
        return count


def _read_answer(
    connection: socket.socket, deadline: float, max_body_bytes: int, *, whole: bool
) -> tuple[HttpAnswer, bool]:
    """Return the answer, and whether the connection is ready for another request.

    ``whole``: the body matters whatever the status is.
    """
    reader = _DeadlineReader(connection, deadline, MAX_HEADER_BYTES + max_body_bytes)
    response = http.client.HTTPResponse(cast(socket.socket, reader))
    try:
        response.begin()
        headers = [response.getheader(name, "") for name in ("Retry-After", "RateLimit-Reset", "DPoP-Nonce")]
        if not whole and response.status != 200 and response.will_close:
            return HttpAnswer(response.status, b"", *headers), False
        body = response.read(max_body_bytes + 1)
        reusable = response.isclosed() and not response.will_close
    finally:
        response.close()
    if len(body) > max_body_bytes:
        raise FetchTooLargeError("the answer is too large")
    return HttpAnswer(response.status, body if whole or response.status == 200 else b"", *headers), reusable


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left
