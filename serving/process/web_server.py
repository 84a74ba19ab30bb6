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
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments

from serving.app import create_app
from serving.config import ServingConfig
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
FINISH_SECONDS = 1.5
QUIET_SECONDS = 0.5  # a request that its client sent before it knew of the end arrives within
FLUSH_SECONDS = 1.0


class WebServer:
    """A server that listens from its construction and answers while ``run`` runs.

    ``listening`` is a socket that other workers accept from too; without it the server binds its own. ``resolver`` is
    as in ``create_app``.
    """

    def __init__(
        self,
        config: ServingConfig,
        listening: socket.socket | None = None,
        peers: Peers | None = None,
        resolver: KeyResolver | None = None,
    ) -> None:
        metrics = WebMetrics()
        self._activity = ActivityWriter(config.activity_path, lost=metrics.lost.inc)
        app = create_app(
            config,
            activity=self._activity,
            peers=peers,
            metrics=metrics,
            resolver=resolver,
            rehearsed=True,
        )
        self._activity.start()
        # Otherwise every burst logs the queue's depth.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._socket = listening or listen(config.listen)
        adjustments = Adjustments(
            sockets=[self._socket],
            backlog=BACKLOG,
            connection_limit=2 * CONNECTIONS_MAX,  # never reached: ``connections`` has the bound
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=10,
            max_request_header_size=HEADERS_MAX_BYTES,
            max_request_body_size=BODY_MAX_BYTES,
            asyncore_use_poll=True,
            ident="",
            # The pages must see that a proxy forwarded a request; waitress would hide that.
            clear_untrusted_proxy_headers=False,
        )
        taken = self._socket
        self._server: Any = Server(
            app,
            map={},
            _sock=self._socket,
            dispatcher=Dispatcher(config.threads + SLOTS, WAITING_MAX, metrics.refused.inc),
            adj=adjustments,
            sockinfo=(taken.family, taken.type, taken.proto, taken.getsockname()),
            bind_socket=False,
        )
        self._stopping = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        """The address it listens on, with the real port when the configured one is 0."""
        return address_of(self._socket)

    def stop(self) -> None:
        """Make ``run`` end soon; may be called from any thread and from a signal handler."""
        self._stopping.set()
        self._server.pull_trigger()

    def run(self) -> None:
        """Answer requests until ``stop``; return within 3 seconds of it."""
        while not self._stopping.is_set():
            self._turn(1.0)
        deadline = time.monotonic() + FINISH_SECONDS
        self._stop_accepting()
        quiet_since = time.monotonic()
        while (now := time.monotonic()) < min(deadline, quiet_since + QUIET_SECONDS):
            if self._busy():
                quiet_since = now
            elif not self._server.active_channels:
                break
            self._turn(0.05)
        self._server.task_dispatcher.shutdown(timeout=max(0.1, deadline - time.monotonic()))
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._server.trigger.close()
        self._activity.close(FLUSH_SECONDS)

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._server._map, count=1)

    def _stop_accepting(self) -> None:
        waiting = -1
        while len(self._server.active_channels) > waiting:  # those that the system has queued for us
            waiting = len(self._server.active_channels)
            self._server.handle_accept()
        self._server.accepting = False
        self._server.del_channel()
        self._socket.close()
        self._server.socket.close()

    def _busy(self) -> bool:
        return any(
            channel.requests or channel.total_outbufs_len
            for channel in list(self._server.active_channels.values())
        )
