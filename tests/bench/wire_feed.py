"""The recorded window of the live network, repeated with other people, keys and times, on any wire.

    python tests/bench/wire_feed.py WIRE COUNT       (jetstream-v1, jetstream-v2 or firehose)

Serves COUNT messages on a free port of loopback to every connection, as fast as they are read, and prints the port.
The messages are what a server sends to a reader of likes and posts. On both Jetstream wires these are the recorded
likes, posts, account and identity events. On the relay's wire they are all 150 recorded frames with their blocks, 5.4
kB per frame. Every message names another record, so that all of them are stored.
"""

import random
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import libipld
import numpy as np
import orjson
import zstandard
from like_feed import shake_hands

from pipeline.identifiers import tid_at, tid_from_int
from pipeline.simulate.randomness import hashed
from pipeline.simulate.server.listener import frames
from pipeline.simulate.text_columns import did_matrix, texts

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
DICTIONARY = REAL / "subscribe_events_20260811.zdict"
START_US = 1_793_000_000_000_000
STEP_US = 3_000  # 330 events a second
PEOPLE = 200_000
WANTED = {"app.bsky.feed.like", "app.bsky.feed.post", None}


def recorded_lines() -> list[dict[str, Any]]:
    events = [orjson.loads(line) for line in (REAL / "expected_v1.jsonl").read_bytes().splitlines()]
    return [event for event in events if event.get("commit", {}).get("collection") in WANTED]


def recorded_frames() -> list[tuple[Any, dict[str, Any]]]:
    data = zstandard.ZstdDecompressor().decompress((REAL / "frames.bin.zst").read_bytes(), 1 << 26)
    found, start = [], 0
    while start < len(data):
        (length,) = struct.unpack_from("<I", data, start)
        found.append(tuple(libipld.decode_dag_cbor_multi(data[start + 4 : start + 4 + length])))
        start += 4 + length
    return found


class Feed:
    """Messages of one wire, a function of their number."""

    def __init__(self) -> None:
        self._dids = texts(did_matrix(hashed(7, np.arange(PEOPLE))))
        self._choose = random.Random(7)

    def messages(self, wire: str, count: int) -> Iterator[bytes]:
        if wire == "firehose":
            return self._frames(count)
        if wire == "jetstream-v2":
            known = zstandard.ZstdCompressionDict(DICTIONARY.read_bytes())
            pack = zstandard.ZstdCompressor(dict_data=known).compress
            events = enumerate(self._events(count), 1)
            return (pack(orjson.dumps(_as_v2(event, seq))) for seq, event in events)
        return (orjson.dumps(event) for event in self._events(count))

    def _somebody(self) -> str:
        return self._dids[int(self._choose.random() ** 2 * PEOPLE)]

    def _events(self, count: int) -> Iterator[dict[str, Any]]:
        templates = recorded_lines()
        for number in range(count):
            event = dict(templates[number % len(templates)])
            time_us = START_US + number * STEP_US
            event["did"], event["time_us"] = self._somebody(), time_us
            if "commit" in event:
                made = tid_from_int(tid_at(time_us - 500_000, number & 1023))
                event["commit"] = {**event["commit"], "rkey": made, "rev": tid_from_int(tid_at(time_us))}
                if event["commit"]["collection"] == "app.bsky.feed.like" and "record" in event["commit"]:
                    liked = tid_from_int(tid_at(time_us - self._choose.randrange(10**11) // 10**8 * 10**8))
                    uri = f"at://{self._somebody()}/app.bsky.feed.post/{liked}"
                    record = event["commit"]["record"]
                    event["commit"]["record"] = {**record, "subject": {**record["subject"], "uri": uri}}
            yield event

    def _frames(self, count: int) -> Iterator[bytes]:
        templates = recorded_frames()
        for number in range(count):
            header, body = templates[number % len(templates)]
            time_us = START_US + number * STEP_US
            changed = {**body, "seq": number + 1, "time": _iso(time_us)}
            changed["repo" if "repo" in body else "did"] = self._somebody()
            if "ops" in body:
                changed["rev"] = tid_from_int(tid_at(time_us))
                made = tid_from_int(tid_at(time_us - 500_000, number & 1023))
                changed["ops"] = [
                    {**op, "path": f"{op['path'].partition('/')[0]}/{made[:-1]}{'234567'[place % 6]}"}
                    for place, op in enumerate(body["ops"])
                ]
            yield libipld.encode_dag_cbor(header) + libipld.encode_dag_cbor(changed)


def last_us(count: int) -> int:
    """Return the time of the last message."""
    return START_US + (count - 1) * STEP_US


def _iso(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us // 10**6, UTC).replace(microsecond=time_us % 10**6)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _as_v2(event: dict[str, Any], seq: int) -> dict[str, Any]:
    text = _iso(event["time_us"])
    payload: dict[str, Any] = {
        "$type": f"network.bsky.jetstream.subscribeEvents#{event['kind']}",
        "seq": seq,
        "did": event["did"],
        "time": text,
        "witnessedAt": text,
    }
    kind = event["kind"]
    payload |= event["commit"] if kind == "commit" else {kind: event[kind]}
    return {"$type": "message", "payload": payload}


def serve(wire: str, count: int) -> None:
    """Serve for ever; everything is made before the port is told."""
    opcode = 0x81 if wire == "jetstream-v1" else 0x82
    blocks, some = [], []
    for message in Feed().messages(wire, count):
        some.append(message)
        if len(some) == 256:
            blocks.append(frames(some, opcode))
            some = []
    blocks.append(frames(some, opcode))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection = server.accept()[0]
            threading.Thread(target=_answer, args=(connection, blocks), daemon=True).start()


def _answer(connection: socket.socket, blocks: list[bytes]) -> None:
    request = b""
    with connection:
        try:
            while b"\r\n\r\n" not in request:
                request += connection.recv(65_536) or b"\r\n\r\n"
            if re.search(rb"(?i)upgrade:\s*websocket", request) is None:
                body = DICTIONARY.read_bytes() if b"getZstdDictionary" in request else b""
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)
                return
            shake_hands(connection, request)
            for block in blocks:
                connection.sendall(block)
            while connection.recv(65_536):
                pass
        except OSError:
            return


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
