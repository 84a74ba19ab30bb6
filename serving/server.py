"""The web server: waitress around the app.

Owns: the socket, the bounds on connections and request sizes, and the ordered end. Leaves to others: TLS,
which a proxy in front does, and every answer (``app``).

The end, at SIGTERM or SIGINT: no new connections, running requests finish (1.5 s at most), then what viewers
did is written (1 s at most). Threads beyond ``config.threads`` are as many as may wait for DID documents, so
slow hosts can't hold all of them.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

import waitress
from waitress import wasyncore

from serving.activity import ActivityWriter
from serving.app import create_app
from serving.config import ServingConfig
from serving.errors import ServingError
from serving.resolver import SLOTS

BACKLOG = 256
CONNECTIONS_MAX = 500  # each waits for a thread at most; at 1,000 requests/s the last one waits half a second
IDLE_SECONDS = 60
HEADERS_MAX_BYTES = 32 * 1024
BODY_MAX_BYTES = 1024 * 1024  # the app's own limit is lower, and answers in XRPC form
FINISH_SECONDS = 1.5
FLUSH_SECONDS = 1.0


class WebServer:
    """A server that listens from its construction on and answers while ``run`` runs."""

    def __init__(self, config: ServingConfig) -> None:
        self._activity = ActivityWriter(config.activity_path)
        app = create_app(config, activity=self._activity)
        # The queue's depth is logged at every burst otherwise.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._socket = _bound(config.listen)
        self._server: Any = waitress.create_server(
            app,
            sockets=[self._socket],
            threads=config.threads + SLOTS,
            backlog=BACKLOG,
            connection_limit=CONNECTIONS_MAX,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=10,
            max_request_header_size=HEADERS_MAX_BYTES,
            max_request_body_size=BODY_MAX_BYTES,
            asyncore_use_poll=True,
            ident="",
            # The pages must see that a proxy forwarded a request; waitress would hide it.
            clear_untrusted_proxy_headers=False,
        )
        self._stopping = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        """The address it listens on; the port is the real one when 0 was asked for."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Make ``run`` end soon; may be called from any thread and from a signal handler."""
        self._stopping.set()
        self._server.pull_trigger()

    def run(self) -> None:
        """Answer requests until ``stop``; return within 3 seconds of it."""
        while not self._stopping.is_set():
            wasyncore.loop(timeout=1.0, use_poll=True, map=self._server._map, count=1)
        deadline = time.monotonic() + FINISH_SECONDS
        self._server.accepting = False
        self._server.del_channel()
        self._socket.close()
        self._server.socket.close()
        while time.monotonic() < deadline and self._busy():
            wasyncore.loop(timeout=0.05, use_poll=True, map=self._server._map, count=1)
        self._server.task_dispatcher.shutdown(timeout=max(0.1, deadline - time.monotonic()))
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._server.trigger.close()
        self._activity.close(FLUSH_SECONDS)

    def _busy(self) -> bool:
        return any(
            channel.requests or channel.total_outbufs_len
            for channel in list(self._server.active_channels.values())
        )


def run(config: ServingConfig) -> None:
    """Serve until SIGTERM or SIGINT; raise ServingError when the address can't be listened on."""
    _stay_on_one_core()
    server = WebServer(config)
    host, port = server.address
    shown = f"[{host}]" if ":" in host else host
    print(f"foryou: the web app listens on http://{shown}:{port}", file=sys.stderr, flush=True)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.stop()

    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stay_on_one_core() -> None:
    """Keep this process's threads on one processor, where the system lets us choose.

    One interpreter lock serves them all, so they can't use two; handing the lock from core to core, several
    times a request, took up to four times the CPU of the request itself (tests/bench/RESULTS.md).
    """
    if hasattr(os, "sched_setaffinity"):
        # The last one: interrupts are mostly answered on the first.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _bound(address: tuple[str, int]) -> socket.socket:
    host, port = address
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServingError(f"can't listen on {shown}: {error.strerror or error}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(target)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise ServingError(
            f"can't listen on {shown}: {reason}; choose another address with --listen"
        ) from error
    return bound
