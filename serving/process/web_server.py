"""The web server of one worker: waitress around the app.

Owns: the bounds on request sizes, and the ordered end. Leaves to others: TLS, which a proxy in front does, bounds
on requests and connections (``connections``), the other workers (``workers``), and every answer (``app``).

The end: connections that wait to be accepted are taken, then no more. Requests that run or arrive are finished, and
their answers ask the clients to close. After half a second without a request, 1.5 s at most, connections are closed
and what viewers did is written (1 s at most). Threads beyond ``config.threads`` are as many as may wait for DID
documents, so slow hosts can't occupy all of them.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments

from serving.app import create_app, journal_of
from serving.config import ServingConfig
from serving.http.clients import PAGES_LISTENER
from serving.http.recent_pages import SAMPLE_SECONDS, RecentPages
from serving.http.web_metrics import WebMetrics
from serving.identity.default_resolver import SLOTS
from serving.identity.resolver import KeyResolver
from serving.process.connections import CONNECTIONS_MAX, WAITING_MAX, Dispatcher, Server
from serving.process.listening import BACKLOG, address_of, listen
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.peers import Peers

IDLE_SECONDS = 60
HEADERS_MAX_BYTES = 32 * 1024
BODY_MAX_BYTES = 1024 * 1024  # the app's own limit is lower, and answers in XRPC form
BODY_MEMORY_BYTES = 64 * 1024  # of a body that arrives; beyond that it waits in a temporary file
PAGES_THREADS = 2
FINISH_SECONDS = 1.5
QUIET_SECONDS = 0.5  # a request that its client sent before it knew of the end arrives within
FLUSH_SECONDS = 1.0


class WebServer:
    """A server that listens from its construction and answers while ``run`` runs.

    ``listening`` is a socket that other workers accept from too, and ``pages`` that of the operator's pages; without
    ``listening`` the server binds its own. ``resolver`` is as in ``create_app``.
    """

    def __init__(
        self,
        config: ServingConfig,
        listening: socket.socket | None = None,
        peers: Peers | None = None,
        resolver: KeyResolver | None = None,
        pages: socket.socket | None = None,
    ) -> None:
        metrics = WebMetrics()
        self._recent = RecentPages(metrics)
        journal = journal_of(config)
        self._activity = ActivityWriter(
            config.activity_path, lost=metrics.lost.inc, journal=journal, data_dir=config.data_dir
        )
        app = create_app(
            config,
            activity=self._activity,
            journal=journal,
            peers=peers,
            metrics=metrics,
            recent=self._recent,
            resolver=resolver,
            rehearsed=True,
        )
        self._activity.start()
        # Otherwise every burst logs the queue's depth.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._socket = listening or listen(config.listen)
        dispatcher = Dispatcher(config.threads + SLOTS, WAITING_MAX, metrics.refused.inc)
        self._servers: list[Any] = [_server(app, self._socket, {}, dispatcher)]
        self._pages = pages
        if pages is None and listening is None and config.pages_listen is not None:
            self._pages = listen(config.pages_listen)
        if self._pages is not None:
            # Threads of their own, so that the operator sees what is going on however many requests wait.
            few = Dispatcher(PAGES_THREADS, WAITING_MAX)
            self._servers.append(_server(_of_pages(app), self._pages, self._servers[0]._map, few))
        self._stopping = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        """The address it listens on, with the real port when the configured one is 0."""
        return address_of(self._socket)

    @property
    def pages_address(self) -> tuple[str, int]:
        """The address of the operator's pages."""
        assert self._pages is not None
        return address_of(self._pages)

    def stop(self) -> None:
        """Make ``run`` end soon; may be called from any thread and from a signal handler."""
        self._stopping.set()
        self._servers[0].pull_trigger()

    def run(self) -> None:
        """Answer requests until ``stop``; return within 3 seconds of it."""
        threading.Thread(target=self._take_samples, name="samples", daemon=True).start()
        while not self._stopping.is_set():
            self._turn(1.0)
        deadline = time.monotonic() + FINISH_SECONDS
        self._stop_accepting()
        quiet_since = time.monotonic()
        while (now := time.monotonic()) < min(deadline, quiet_since + QUIET_SECONDS):
            if self._busy():
                quiet_since = now
            elif not self._channels():
                break
            self._turn(0.05)
        for server in self._servers:
            server.task_dispatcher.shutdown(timeout=max(0.1, deadline - time.monotonic()))
        for channel in self._channels():
            channel.handle_close()
        for server in self._servers:
            server.trigger.close()
        self._activity.close(FLUSH_SECONDS)

    def _take_samples(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            self._recent.sample()

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._servers[0]._map, count=1)

    def _stop_accepting(self) -> None:
        for server in self._servers:
            waiting = -1
            while len(server.active_channels) > waiting:  # those that the system has queued for us
                waiting = len(server.active_channels)
                server.handle_accept()
            server.accepting = False
            server.del_channel()
            server.socket.close()
        self._socket.close()
        if self._pages is not None:
            self._pages.close()

    def _channels(self) -> list[Any]:
        return [channel for server in self._servers for channel in server.active_channels.values()]

    def _busy(self) -> bool:
        return any(channel.requests or channel.total_outbufs_len for channel in self._channels())


def _server(
    app: Callable[..., Any], taken: socket.socket, sockets: dict[int, Any], dispatcher: Dispatcher
) -> Any:
    """Return a server that accepts from a socket, in the loop over ``sockets``."""
    adjustments = Adjustments(
        sockets=[taken],
        backlog=BACKLOG,
        connection_limit=2 * CONNECTIONS_MAX,  # never reached: ``connections`` has the bound
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=10,
        max_request_header_size=HEADERS_MAX_BYTES,
        max_request_body_size=BODY_MAX_BYTES,
        inbuf_overflow=BODY_MEMORY_BYTES,
        asyncore_use_poll=True,
        ident="",
        # The pages must see that a proxy forwarded a request; waitress would hide that.
        clear_untrusted_proxy_headers=False,
    )
    return Server(
        app,
        map=sockets,
        _sock=taken,
        dispatcher=dispatcher,
        adj=adjustments,
        sockinfo=(taken.family, taken.type, taken.proto, taken.getsockname()),
        bind_socket=False,
    )


def _of_pages(app: Callable[..., Any]) -> Callable[..., Any]:
    """Return the app for requests that come in at the address of the operator's pages."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ[PAGES_LISTENER] = True
        return app(environ, start_response)

    return answer
