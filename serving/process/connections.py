"""Connections and their requests before and beside the app: waitress, with bounds and in XRPC form.

Owns: the bound on requests that wait for a thread, the bound on connections, the answers beyond these bounds, which
requests are too ambiguous to be read, and the form of errors that never reach the app. Leaves to others: sockets
and the end (``web_server``), and every answer of the app.

Invariant: nobody waits without bound. A request that finds the queue full is answered 429 at once, by a thread that
does nothing else. A connection that finds no room replaces the one that was idle longest. If none is idle, its
request is answered 429 and it is closed.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import falcon
import orjson
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import Task, ThreadedTaskDispatcher, WSGITask

from serving.http.xrpc import NAMES

WAITING_MAX = 300  # requests waiting for a thread; at 1,000 requests/s the last one waits 0.3 s
CONNECTIONS_MAX = 1_000  # the server looks at each of them in every turn
_BUSY = "too many requests are waiting; try again in a moment"


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """Gives requests to threads; those beyond ``waiting_max`` to one that refuses them."""

    def __init__(self, threads: int, waiting_max: int, refuse: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._refuse = refuse
        self._waiting_max = waiting_max
        self._refusing = ThreadedTaskDispatcher()
        self._refusing.set_thread_count(1)
        self.set_thread_count(threads)

    def add_task(self, task: "Channel") -> None:
        """Queue a channel whose first request is to be answered."""
        if task.unwanted or len(self.queue) >= self._waiting_max:
            self._refuse()
            task.refused = True
            self._refusing.add_task(task)
        else:
            super().add_task(task)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """Let running requests end within ``timeout`` seconds."""
        self._refusing.shutdown(cancel_pending, 0.1)
        return bool(super().shutdown(cancel_pending, timeout))


class _ErrorTask(Task):  # type: ignore[misc]
    """Answers what can't be read as a request."""

    complete = True

    def execute(self) -> None:
        error = self.request.error
        name = "InternalServerError" if error.code == 500 else NAMES.get(error.code, "InvalidRequest")
        _write(self, f"{error.code} {error.reason}", name, str(error.body), close=True)


class _BusyTask(Task):  # type: ignore[misc]
    """Refuses a request; the connection stays."""

    complete = True

    def execute(self) -> None:
        _write(self, falcon.HTTP_429, "RateLimitExceeded", _BUSY, close=self.channel.unwanted)


class _AppTask(WSGITask):  # type: ignore[misc]
    """Lets the app answer; a server that ends tells the client to use a new connection."""

    def build_response_header(self) -> bytes:
        if not self.channel.server.accepting:
            self.set_close_on_finish()
        return bytes(super().build_response_header())


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request; refuses what a proxy in front might read in another way."""

    path = ""  # waitress logs it when the client has left, also of a request whose first line was never read

    def parse_header(self, header_plus: bytes) -> None:
        """Read the header; raise ParsingError when the body's length is stated twice or the Host is missing."""
        names = Counter(line.partition(b":")[0].lower() for line in header_plus.split(b"\r\n")[1:])
        if b"transfer-encoding" in names and b"content-length" in names:
            raise ParsingError("Content-Length together with Transfer-Encoding")
        super().parse_header(header_plus)
        if names[b"host"] > 1 or (self.version == "1.1" and not names[b"host"]):
            raise ParsingError("not exactly one Host")
        if self.version == "1.0" and b"transfer-encoding" in names:
            raise ParsingError("Transfer-Encoding in HTTP/1.0")


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection."""

    parser_class = Parser
    task_class = _AppTask
    error_task_class = _ErrorTask
    refused = False

    def __init__(self, server: "Server", *rest: Any, **named: Any) -> None:
        super().__init__(server, *rest, **named)
        self.unwanted = server.crowded  # room for its first request and the refusal only

    def service(self) -> None:
        """Answer the first request."""
        if self.refused:
            self.refused = False
            self.task_class = _BusyTask  # of this channel alone, for this once
            try:
                super().service()
            finally:
                del self.task_class
        else:
            super().service()


class Server(TcpWSGIServer):  # type: ignore[misc]
    """The listening socket and its connections: ``connections_max``, and a quarter more that are refused."""

    channel_class = Channel
    connections_max = CONNECTIONS_MAX
    crowded = False

    def handle_accept(self) -> None:
        """Accept a connection, in the place of an idle one if there is no room."""
        taken = len(self.active_channels)
        self.crowded = taken >= self.connections_max and not self._make_room()
        if self.crowded and taken >= self.connections_max * 5 // 4:
            accepted = self.accept()
            if accepted is not None:
                accepted[0].close()
        else:
            super().handle_accept()

    def _make_room(self) -> bool:
        idle = [
            channel
            for channel in self.active_channels.values()
            if not channel.requests and not channel.total_outbufs_len
        ]
        if not idle:
            return False
        min(idle, key=lambda channel: channel.last_activity).handle_close()
        return True


def _write(task: Any, status: str, name: str, message: str, *, close: bool) -> None:
    body = orjson.dumps({"error": name, "message": message})
    task.status = status
    task.response_headers += [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]
    task.content_length = len(body)
    if close:
        task.set_close_on_finish()
    task.write(body)
