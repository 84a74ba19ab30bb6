"""Checks of the web app and the network: lists, stream, PLC directory, clock, certificate, did.json.

Owns: those, each within a few seconds. Leaves to others: the feeds (``feed_checks``), what a correct answer looks like
(``feed_record.service_check``).
"""

import asyncio
import json
import re
import shutil
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from pipeline.errors import PipelineError
from pipeline.ingest import firehose
from pipeline.ingest.wires import subscription, wire_of
from pipeline.operate.doctor.findings import Check, SkippedError, WrongError
from pipeline.operate.feed_record.service_check import (
    TIMEOUT_SECONDS,
    check_service,
    fetch,
    fetch_json,
    public_url,
    why,
)
from pipeline.proxies import proxy_for
from pipeline.settings import Settings

CLOCK_MAX_SECONDS = 5.0  # tokens are valid for a minute
EVENT_SECONDS = 10.0
QUIET_SECONDS = 600.0
CERTIFICATE_MIN_DAYS = 14
LOOKS = 8
OLDEST_CADDY = (2, 10)  # Debian 12 and 13 have 2.6.2, built in 2023
_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.")
DID_JSON = "/.well-known/did.json"
CONNECT_SECONDS = 5.0
CONNECTION = "the network works: check FORYOU_PLC_URL"
FRONT = (
    "check that FORYOU_HOSTNAME leads to the proxy in front, that it runs, and that it reaches FORYOU_LISTEN"
)


def checks(settings: Settings, client: httpx.Client) -> list[Check]:
    """Return the checks of the network."""
    return [
        Check("web app", lambda: _web_app(settings)),
        Check("lists", lambda: _lists(settings), needs=("web app",)),
        Check("network", lambda: _network(settings)),
        Check("PLC directory", lambda: _plc(settings, client), CONNECTION, ("network",)),
        Check("clock", lambda: _clock(settings, client), CONNECTION, ("PLC directory",)),
        Check("stream", lambda: _stream(settings), needs=("network",)),
        Check("certificate", lambda: _certificate(settings), needs=("network",)),
        Check("did.json", lambda: _did_json(settings, client), FRONT, ("web app", "certificate")),
        Check("proxy", lambda: _proxy(settings), needs=("web app",)),
    ]


def _network(settings: Settings) -> str:
    """Connect to the servers that foryou needs, until one can be reached."""
    reasons = {}
    for url in (settings.plc_url, *settings.stream_url):
        proxy = proxy_for(url)
        address = _host_and_port(proxy or url)
        try:
            with socket.create_connection(address, timeout=CONNECT_SECONDS):
                return f"{address[0]} can be reached" + (
                    ", the proxy that the environment names" if proxy else ""
                )
        except OSError as error:
            reasons[address[0]] = error.strerror or str(error)
    raise WrongError(
        "; ".join(f"{host}: {reason}" for host, reason in reasons.items()),
        "check this machine's internet connection and its name server",
    )


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), parts.port or (443 if parts.scheme in ("https", "wss") else 80)


def _is_service(unit: str = "foryou-serve") -> bool:
    """Tell whether this machine runs foryou as services of systemd."""
    return Path(f"/etc/systemd/system/{unit}.service").exists()


def log_of(part: str) -> str:
    """Say where to read the log of a part of foryou."""
    return (
        f"read its log: journalctl -u foryou-{part}" if _is_service() else f"read what 'foryou {part}' logged"
    )


def _clock(settings: Settings, client: httpx.Client) -> str:
    """Compare with the Date header of the directory, which has whole seconds."""
    before = time.time()
    answer = fetch(client, settings.plc_url)
    after = time.time()
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5
    except (KeyError, ValueError) as error:
        raise SkippedError(f"{settings.plc_url} does not say what time it is") from error
    offset = (before + after) / 2 - theirs
    if abs(offset) > CLOCK_MAX_SECONDS + (after - before) / 2:
        raise WrongError(
            f"this clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the PLC directory's",
            "set the clock by the network"
            + (": timedatectl set-ntp true" if shutil.which("timedatectl") else ""),
        )
    return f"within {abs(offset) + 0.5:.1f} s of the PLC directory's"


def _stream(settings: Settings) -> str:
    """Connect to each address; the feed works when one of them sends events."""
    failures, working = [], []
    for url in settings.stream_url:
        try:
            _event(url)
            working.append(url)
        except (OSError, WebSocketException, PipelineError) as error:
            failures.append(f"{url}: {error}")
    if not working:
        raise WrongError(
            "; ".join(failures), "check the internet connection, or name other servers in FORYOU_STREAM_URL"
        )
    return f"an event from {', '.join(working)}" + (f"; not from {'; '.join(failures)}" if failures else "")


def _event(url: str) -> None:
    """Wait for one event; OSError, WebSocketException or PipelineError says why none came."""
    with connect(_address(url), open_timeout=EVENT_SECONDS, max_size=None, close_timeout=1) as stream:
        try:
            stream.recv(timeout=EVENT_SECONDS)
        except TimeoutError as error:
            past = f"not even one of the last {QUIET_SECONDS / 60:g} minutes"
            raise TimeoutError(f"it answers, but no event came in {EVENT_SECONDS:g} s, {past}") from error


def _address(url: str) -> str:
    """Return an address that begins with past events: a quiet stream may send no new one for minutes."""
    if wire_of(url) == "firehose":
        return firehose.subscribe_url(url, 0)
    return asyncio.run(subscription(url, None, int((time.time() - QUIET_SECONDS) * 1e6))).address


def _plc(settings: Settings, client: httpx.Client) -> str:
    answer = fetch(client, f"{settings.plc_url}/{settings.publisher_did}")
    if answer.status_code >= 500 or answer.status_code == 429:
        raise WrongError(
            f"{settings.plc_url} answers status {answer.status_code}",
            "wait; meanwhile viewers whose keys are stored still get the feed",
        )
    proxy = proxy_for(settings.plc_url)
    if proxy is None:
        return f"{settings.plc_url} answers"
    host, port = _host_and_port(settings.plc_url)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise WrongError(
            f"{host} answers through the proxy {proxy}, but directly it can't be reached: {error.strerror or error}",
            "let this machine connect to it directly: the web app looks viewers' keys up without a proxy",
        ) from error
    return f"{settings.plc_url} answers, through the proxy {proxy} and without"


def _health(settings: Settings) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer of the web app's /health; WrongError when it gives none."""
    url = settings.local_url + "/health"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        start = "systemctl start foryou-serve" if _is_service() else "foryou up, or foryou serve"
        raise WrongError(f"{url}: {why(error)}", f"start it: {start}") from error
    try:
        state = dict(orjson.loads(answer.content))
        state["ok"]
    except (ValueError, TypeError, KeyError) as error:
        raise WrongError(
            f"another program answers at {settings.local_url}", "stop it, or choose another FORYOU_LISTEN"
        ) from error
    return answer.status_code, state


def _web_app(settings: Settings) -> str:
    _health(settings)
    return f"answers at {settings.local_url}"


def _lists(settings: Settings) -> str:
    """Read what the web app says of itself: whether there are fresh lists, and whether visits can be written."""
    status, state = _health(settings)
    if status != 200:
        part = "serve" if "written" in str(state.get("reason")) else "schedule"
        raise WrongError(str(state.get("reason")), log_of(part))
    return (
        f"{state.get('lists')} lists, generation {state.get('generation')}, {state.get('age_seconds')} s old"
    )


def _did_json(settings: Settings, client: httpx.Client) -> str:
    """Compare did.json as Bluesky's servers see it with the one that the web app here sends."""
    url = public_url(settings.hostname) + DID_JSON
    check_service(client, settings)
    if not settings.service_did.startswith("did:web:"):
        return f"{settings.service_did} leads to {settings.hostname}"
    outside = fetch_json(client, url, "did.json")
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as here:
            ours = fetch_json(here, settings.local_url + DID_JSON, "did.json")
    except Exception as error:
        raise SkippedError(f"{url} is correct; the web app here does not answer ({error})") from error
    if outside != ours:
        raise WrongError(
            f"{url} differs from the web app's own: {json.dumps(outside)} instead of {json.dumps(ours)}",
            "another machine answers under this name, or a proxy keeps an old copy",
        )
    return f"{url} is ours"


def _proxy(settings: Settings) -> str:
    """Read which version the proxy stated with the requests that it forwarded, those of the check before included."""
    seen = ""
    for _ in range(LOOKS):  # each worker knows of the requests that it answered
        try:
            address = settings.pages_url + "/health"
            health = json.loads(httpx.get(address, timeout=TIMEOUT_SECONDS, trust_env=False).content)
        except (httpx.HTTPError, ValueError) as error:
            raise SkippedError(f"{settings.pages_url} does not answer: {why(error)}") from error
        seen = str(health.get("proxy") or seen)
    if not seen:
        raise SkippedError("no proxy in front has said which version it is")
    found = _VERSION.match(seen)
    if found is None or tuple(map(int, found.groups())) < OLDEST_CADDY:
        oldest = ".".join(map(str, OLDEST_CADDY))
        raise WrongError(
            f"the proxy is Caddy {seen}; versions before {oldest} get no security updates",
            "take Caddy from its own repository: OPERATIONS.md, 'The VPS'",
        )
    return f"Caddy {seen}"


def _certificate(settings: Settings) -> str:
    url = urlsplit(public_url(settings.hostname))
    if url.scheme != "https":
        raise SkippedError(f"{settings.hostname} is this machine itself, without TLS")
    host, port = str(url.hostname), url.port or 443
    try:
        with (
            socket.create_connection((host, port), timeout=10) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert() or {}
    except OSError as error:
        raise WrongError(
            f"{host}:{port}: {why(error)}",
            "read the log of the proxy in front, which should get and renew the certificate itself",
        ) from error
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86_400
    if days < CERTIFICATE_MIN_DAYS:
        raise WrongError(
            f"valid for {days:.0f} more days; the proxy should have renewed it",
            "read why it did not in its log",
            blocks=False,
        )
    return f"valid for {days:.0f} more days"
