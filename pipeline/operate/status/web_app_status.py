"""What the running web app reports: whether it is healthy, how much it answers and how fast.

Owns: reading /health and /metrics at this installation's own addresses, and the Prometheus text format. Leaves to
others: what the figures mean (``lines``). A web app that does not answer is None: it may run elsewhere, or not at
all.
"""

import re
import time
from collections.abc import Iterable
from typing import Any

import httpx
import orjson

TIMEOUT_SECONDS = 1.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)")
_LIMIT = re.compile(r'\ble="([^"]+)"')


def web_app_figures(address: str, pages: str) -> dict[str, Any] | None:
    """Return {ok, reason, requests, requests_per_second, p99_ms} since the web app's start; None without an answer.

    Counts are None when the web app does not report them.
    """
    try:
        with httpx.Client(base_url=address, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            health = orjson.loads(client.get("/health").content)
            metrics = _metrics(client, pages)
    except (httpx.HTTPError, ValueError):
        return None
    if not isinstance(health, dict):
        return None
    reported = request_figures(metrics.splitlines())
    figures = {"requests": None, "requests_per_second": None, "p99_ms": None} | reported
    return {"ok": bool(health.get("ok")), "reason": health.get("reason"), **figures}


def _metrics(client: httpx.Client, pages: str) -> str:
    """Return the figures in Prometheus's form, '' when their address does not answer."""
    try:
        answer = client.get(f"{pages}/metrics")
    except httpx.HTTPError:
        return ""
    return answer.text if answer.status_code == 200 else ""


def request_figures(lines: Iterable[str]) -> dict[str, float | int | None]:
    """Return requests, requests_per_second and p99_ms from a histogram of request seconds; {} without one."""
    buckets: dict[str, dict[float, float]] = {}
    started = None
    for line in lines:
        matched = _SAMPLE.match(line)
        if not matched:
            continue
        name, labels, value = matched[1], matched[2] or "", float(matched[3])
        if name == "process_start_time_seconds":
            started = value
        limit = _LIMIT.search(labels)
        if name.endswith("_seconds_bucket") and "request" in name and limit:
            counted = buckets.setdefault(name, {})
            counted[float(limit[1])] = counted.get(float(limit[1]), 0.0) + value
    if not buckets:
        return {}
    counted = max(buckets.values(), key=lambda family: max(family.values()))
    total = max(counted.values())
    limits = sorted(limit for limit, count in counted.items() if count >= 0.99 * total)
    p99 = limits[0] if total and limits else None
    rate = None if started is None else total / max(time.time() - started, 1.0)
    finite = p99 is not None and p99 != float("inf")
    return {
        "requests": int(total),
        "requests_per_second": rate,
        "p99_ms": p99 * 1000 if finite and p99 is not None else None,
    }
