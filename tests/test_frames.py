"""Cutting bytes into messages: whatever the pieces they come in, as the websocket library itself would."""

import asyncio
import random
from functools import partial

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from pipeline.ingest.frames import MESSAGE_BYTES_MAX, MessageConnection


def frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


async def exchange(sent: bytes, pieces: list[int]) -> tuple[list[bytes], list[str], int | None]:
    """Serve bytes after a real handshake, cut in pieces; return messages, what was skipped, the close code."""
    messages: list[bytes] = []
    skipped: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        request = protocol.events_received()[0]
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        data = b"".join(protocol.data_to_send()) + sent
        position = 0
        for piece in pieces:
            writer.write(data[position : position + piece])
            await writer.drain()
            await asyncio.sleep(0)
            position += piece
        writer.write(data[position:])
        await writer.drain()
        answered = False
        while not answered and (data := await reader.read(65_536)):
            protocol.receive_data(data)
            answered = any(
                isinstance(event, Frame) and event.opcode is Opcode.CLOSE
                for event in protocol.events_received()
            )
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    factory = partial(
        MessageConnection, receive=lambda batch, _: messages.extend(batch), skipped=skipped.append
    )
    async with connect(
        f"ws://127.0.0.1:{port}/",
        create_connection=factory,
        compression=None,
        close_timeout=1,  # type: ignore[arg-type]
    ) as connection:
        await asyncio.wait_for(connection.wait_closed(), 20)
    server.close()
    return messages, skipped, connection.close_code


CLOSE = frame(Opcode.CLOSE, b"\x03\xe8bye")


@pytest.mark.parametrize("seed", range(12))
def test_any_pieces_give_the_same_messages(seed: int) -> None:
    choose = random.Random(seed)
    expected, sent = [], b""
    for number in range(60):
        body = bytes([number]) * choose.choice([0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
        kind = choose.choice([Opcode.TEXT, Opcode.BINARY])
        if choose.random() < 0.2:
            cut = choose.randint(0, len(body))
            sent += frame(kind, body[:cut], fin=False) + frame(Opcode.PING, b"hello")
            sent += frame(Opcode.CONT, body[cut:])
        else:
            sent += frame(kind, body)
        if choose.random() < 0.2:
            sent += frame(Opcode.PING, b"x" * 100) * 3
        expected.append(body)
    pieces = [choose.choice([1, 2, 3, 10, 1_000, 70_000]) for _ in range(choose.randint(0, 200))]
    messages, skipped, code = asyncio.run(exchange(sent + CLOSE, pieces))
    assert messages == expected
    assert skipped == []
    assert code == 1000


@pytest.mark.parametrize("fragmented", [False, True])
def test_a_message_too_large_is_skipped_and_the_next_one_read(fragmented: bool) -> None:
    large = b"x" * (MESSAGE_BYTES_MAX + 1)
    if fragmented:
        half = len(large) // 2
        sent = frame(Opcode.TEXT, large[:half], fin=False) + frame(Opcode.CONT, large[half:], fin=False)
        sent += frame(Opcode.CONT, b"end")
    else:
        sent = frame(Opcode.TEXT, large)
    sent = frame(Opcode.TEXT, b"before") + sent + frame(Opcode.TEXT, b"after") + CLOSE
    messages, skipped, code = asyncio.run(exchange(sent, []))
    assert messages == [b"before", b"after"]
    assert skipped == ["message_too_large"]
    assert code == 1000


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff\xff\xff\xff",  # bits nobody agreed on
        b"\x81\x85abcdhello",  # masked, which a server must not do
        b"\x89\x7e\x00\x80" + b"p" * 128,  # a ping longer than a control frame may be
        b"\x83\x01x",  # an opcode that means nothing
    ],
)
def test_a_server_that_breaks_the_protocol_is_left(rubbish: bytes) -> None:
    messages, _, code = asyncio.run(exchange(frame(Opcode.TEXT, b"good") + rubbish + b"\x81\x01y", []))
    assert messages[0] == b"good"
    assert code == 1006  # we closed; no close frame came
