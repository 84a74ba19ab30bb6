"""The demo, running, and a browser that looks at it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from picking_reader import Running, running_feed
from running_demo import RunningDemo

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra 'browser' is not installed")

CHROMIUM = os.environ.get("FORYOU_CHROMIUM") or shutil.which("chromium") or ""
# Nothing of Chromium's own reaches for a network.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_SECONDS = 1_500
STARTS = 3
WAIT_MILLISECONDS = 300_000


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    found = RunningDemo()
    for _ in range(STARTS):  # another demo on this machine may take a port between its choice and its use
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pipeline.cli", "demo"],
            cwd=tmp_path_factory.mktemp("demo"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        try:
            found = _read_start(process)
            if "could not start" in found.text:
                continue
            assert found.address, found.text
            assert found.people, found.text
            yield found
            return
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    raise AssertionError(found.text)


def _read_start(process: "subprocess.Popen[str]") -> RunningDemo:
    """Read what a demo prints until it runs or has ended."""
    found, deadline = RunningDemo(), time.monotonic() + START_SECONDS
    assert process.stdout is not None
    for line in process.stdout:
        found.text += line
        if "What this feed is" in line:
            found.address = line.split()[-1].rstrip("/")
        person = re.fullmatch(r"\s+(\S.*), who likes (\S.*?)\s+http\S+/viewer/(\S+)\n", line)
        if person:
            found.people[person[1]] = person[3]
        if "Ctrl-C" in line:
            break
        assert time.monotonic() < deadline, found.text
    return found


@pytest.fixture(scope="session", autouse=True)
def chromium() -> None:
    """Before the demo starts, which takes minutes; tests that need no browser are no success without one either."""
    if not CHROMIUM:
        pytest.skip("there is no Chromium: install Debian's package chromium, or set FORYOU_CHROMIUM")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any, demo: RunningDemo) -> Iterator[Callable[..., Any]]:
    """Open a page of the demo; the test fails when it reports an error or asks anybody else for anything."""
    with _opening(browser, demo.address) as opened:
        yield opened


@pytest.fixture(scope="session")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A feed with public pages, and a reader without likes."""
    with running_feed(tmp_path_factory.mktemp("feed")) as running:
        yield running


@pytest.fixture
def open_public(browser: Any, feed: Running) -> Iterator[Callable[..., Any]]:
    """Open a page of that feed, likewise."""
    with _opening(browser, feed.address) as opened:
        yield opened


@contextmanager
def _opening(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    contexts, troubles = [], []

    def opened(path: str = "/", *, width: int = 1440, scheme: str = "light", script: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 844 if width < 600 else 1000},
            color_scheme=scheme,
            java_script_enabled=script,
            base_url=address,
            locale="en-GB",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("console", lambda line: _is_trouble(line) and troubles.append(f"console: {line.text}"))
        page.on(
            "request", lambda request: _is_local(request.url) or troubles.append(f"request: {request.url}")
        )
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def _is_trouble(line: Any) -> bool:
    """Tell whether a line is an error; pages say by themselves that there is nothing, or others' turn."""
    address = str(line.location.get("url", ""))
    said = ("404" in line.text and not address.endswith((".css", ".js", ".svg"))) or (
        "503" in line.text and ("/why?" in address or "/compare?" in address)
    )
    return line.type == "error" and not said


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


@pytest.fixture
def keep_picture(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keep a picture of a page, in the folder of FORYOU_SCREENSHOTS."""
    folder = os.environ.get("FORYOU_SCREENSHOTS", "")

    def kept(page: Any, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(folder) / f"{name}.png"))

    return kept
