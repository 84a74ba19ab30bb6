"""Each request's number, its time, and its line in the log.

Owns: the headers of every answer (X-Request-Id, nosniff), timing, the form of the line, and which requests get one.
Leaves to others: where the log goes, and counting (``web_metrics``).

A line has no header, no query and no body of the request, so the log never names a token or a viewer. What the
client wrote is escaped. With "problems", the first 502, 503 or 504 gets a line. Further ones of the next minute are
counted, and share one line after it: a store that can't be read fails every request. The number is the configured
proxy's when it sends one, so that both logs can be read together, else our own.
"""

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import falcon

from serving.config import ServingConfig
from serving.http.clients import client_address, is_trusted, peer_address
from serving.http.web_metrics import WebMetrics
from serving.log_throttle import Tally

log = logging.getLogger("foryou.access")

SLOW_SECONDS = 1.0
PATH_MAX = 120
REPEAT_SECONDS = 60.0
_REPEATED = frozenset({502, 503, 504})
_FAILURES = frozenset({500, 502, 503, 504})  # a 501 is the client's fault
_NUMBER = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def safe_path(request: falcon.Request) -> str:
    """Return a request's path as it may be logged."""
    return quote(request.path[:PATH_MAX], safe="/:@", errors="replace")


@dataclass(slots=True)
class SeenProxy:
    """The version that the proxy in front last stated, for the operator; '' when it stated none."""

    version: str = ""


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Falcon's middleware that numbers, times, counts and logs requests."""

    config: ServingConfig
    metrics: WebMetrics
    proxy: SeenProxy = field(default_factory=SeenProxy)
    repeats: Tally = field(default_factory=lambda: Tally(REPEAT_SECONDS))

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Number a request and note when it began."""
        number = request.get_header("X-Request-Id") or ""
        proxies = self.config.trusted_proxies
        if not (proxies and _NUMBER.fullmatch(number) and is_trusted(peer_address(request), proxies)):
            number = secrets.token_hex(8)
        version = request.get_header("X-Proxy-Version") or ""
        if version != self.proxy.version and _NUMBER.fullmatch(version):
            self.proxy.version = version
        request.context.number = number
        request.context.began = time.perf_counter()
        response.set_header("X-Request-Id", number)
        response.set_header("X-Content-Type-Options", "nosniff")

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """Count the answer, and log it if the setting wants it."""
        began = getattr(request.context, "began", None)
        seconds = 0.0 if began is None else time.perf_counter() - began
        self.metrics.answered(request.uri_template or "other", response.status_code, seconds)
        level = self.config.access_log
        if level == "problems":
            for status, count in self.repeats.over().items():
                log.info("%d: %d more answers since the last line", status, count)
        if level == "all" or (level == "problems" and self._is_wanted(response.status_code, seconds)):
            log.info(
                "%s %s %s %s %d %.1f ms %d bytes",
                getattr(request.context, "number", "-"),
                client_address(request, self.config.trusted_proxies),
                request.method if request.method.isalpha() else "?",
                safe_path(request),
                response.status_code,
                seconds * 1e3,
                len(response.data or response.text or ""),
            )

    def _is_wanted(self, status: int, seconds: float) -> bool:
        if status in _REPEATED:
            return self.repeats.allows(status)
        return status in _FAILURES or seconds > SLOW_SECONDS
