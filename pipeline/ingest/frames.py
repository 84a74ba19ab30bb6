"""Cutting a stream's bytes into messages, beside the websocket library.

Owns: ``MessageConnection``. The library does all that is rare: the handshake, pings, the closing. Data
frames, which are all the rest, are cut out here before it sees them: through the library's queue a message
cost 7 us of CPU, more than decoding it, here it costs half of one (tests/bench/RESULTS.md).

Frames as in RFC 6455, section 5.2. A server's frames are not masked. A message that is larger than allowed is
counted and skipped, never held: closing the connection over it, as is usual, would meet it again after every
reconnect.
"""

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection

MESSAGE_BYTES_MAX = 16 << 20  # a record of 1 MB grows when written as JSON; anything larger is no event
_HEAD_BYTES_MAX = 64 << 10  # of the answer to the handshake
_SWITCHING = b"HTTP/1.1 101"
_TEXT, _BINARY, _FINAL = 1, 2, 0x80


class MessageConnection(ClientConnection):
    """A client connection that gives whole messages to ``receive``, many at a time, in order.

    ``receive(messages, size)`` runs in the event loop and must not wait; it may pause reading by
    ``transport.pause_reading()``. ``skipped(name)`` counts what was left out. ``recv`` gets no message.
    """

    def __init__(
        self,
        *args: Any,
        receive: Callable[[list[bytes], int], None],
        skipped: Callable[[str], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._receive = receive
        self._skipped = skipped
        self._head: bytes | None = b""  # of the handshake's answer; None once it is over
        self._plain = False  # bytes go to the library: no websocket, or one that broke the protocol
        self._rest = b""  # the beginning of a frame whose end has not come
        self._skip = 0  # bytes still to come of a frame that is left out
        self._fragments: list[bytes] | None = None  # of a message in several frames
        self._fragments_size = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        if self._plain:
            super().data_received(data)
        elif self._head is not None:
            self._read_head(self._head + data)
        else:
            self._cut(data)

    def _read_head(self, head: bytes) -> None:
        # Frames may follow the handshake's answer in the same packet.
        end = head.find(b"\r\n\r\n")
        if end < 0 and len(head) < _HEAD_BYTES_MAX and head.startswith(_SWITCHING[: len(head)]):
            self._head = head
            return
        self._head = None
        if end < 0 or not head.startswith(_SWITCHING):
            self._plain = True
            super().data_received(head)
            return
        super().data_received(head[: end + 4])
        if len(head) > end + 4:
            self._cut(head[end + 4 :])

    def _cut(self, data: bytes) -> None:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._rest:
            data = self._rest + data
        messages: list[bytes] = []
        size = position = 0
        end = len(data)
        while end - position >= 2:
            first, length = data[position], data[position + 1]
            body = position + 2
            if length > 127 or first & 0x70 or (first & 0x08 and length > 125):
                # Masked, or bits nobody agreed on, or too long a control frame: the library says so and closes.
                self._plain = True
                break
            if length >= 126:
                body += 2 if length == 126 else 8
                if body > end:
                    break
                length = int.from_bytes(data[position + 2 : body], "big")
            stop = body + length
            if stop > end:
                if length > MESSAGE_BYTES_MAX:
                    self._leave_out(stop - end)
                    position = end
                break
            if first in (_FINAL | _TEXT, _FINAL | _BINARY):
                messages.append(data[body:stop])
                size += length
            elif first & 0x08:
                super().data_received(data[position:stop])
            elif first & 0x0F > _BINARY:  # a kind of frame that means nothing
                self._plain = True
                break
            else:
                whole = self._join(first, data[body:stop])
                if whole is not None:
                    messages.append(whole)
                    size += len(whole)
            position = stop
        self._rest = data[position:]
        if messages:
            self._receive(messages, size)
        if self._plain:
            super().data_received(self._rest)

    def _join(self, first: int, body: bytes) -> bytes | None:
        """Add a frame to its message; return the message at its last frame."""
        if first & 0x0F:
            self._fragments, self._fragments_size = [], 0
        if self._fragments is None:  # a continuation of nothing, or of a message that is left out
            return None
        self._fragments.append(body)
        self._fragments_size += len(body)
        if self._fragments_size > MESSAGE_BYTES_MAX:
            self._leave_out(0)
        elif first & _FINAL:
            whole, self._fragments = b"".join(self._fragments), None
            return whole
        return None

    def _leave_out(self, coming: int) -> None:
        self._skip, self._fragments = coming, None
        self._skipped("message_too_large")
