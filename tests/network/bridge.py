"""A relay-to-Jetstream bridge: the frames of a real PDS's firehose as Jetstream v1 lines.

Owns: the translation, for the tests of this folder alone. Ingest follows ``Bridge.stream.url``.
"""

import base64
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import libipld
import orjson
from streams import LineStream
from websockets.sync.client import connect


class Bridge:
    """Follows a firehose from its beginning, in a thread, and serves what it says on ``stream.url``."""

    def __init__(self, firehose: str) -> None:
        self.stream = LineStream([])
        self.seq = 0  # of the last frame passed on
        self._address = f"{firehose}?cursor=0"
        self._done = False
        self.last_us = 0  # time of the last event
        self._thread = threading.Thread(target=self._follow, name="bridge")

    def __enter__(self) -> Self:
        self.stream.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done = True
        self._thread.join(10)
        self.stream.__exit__(*error)

    def _follow(self) -> None:
        with connect(self._address, max_size=None, compression=None) as connection:
            while not self._done:
                try:
                    frame = connection.recv(timeout=0.1)
                except TimeoutError:
                    continue
                assert isinstance(frame, bytes)
                header, body = _objects(frame)
                if header.get("op") != 1:
                    raise RuntimeError(f"the firehose ended with {body}")
                self.stream.append(
                    [orjson.dumps(event).decode() for event in self._events(header["t"], body)]
                )
                self.seq = body["seq"]

    def _events(self, kind: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if kind == "#commit":
            _, blocks = libipld.decode_car(body["blocks"])
            for op in body["ops"]:
                collection, _, rkey = op["path"].partition("/")
                commit = {
                    "rev": body["rev"],
                    "operation": op["action"],
                    "collection": collection,
                    "rkey": rkey,
                }
                if op["cid"] is not None:
                    cid = op["cid"]
                    commit |= {"record": _plain(blocks[cid]), "cid": _cid_text(cid)}
                yield {"did": body["repo"], "time_us": self._now_us(), "kind": "commit", "commit": commit}
        elif kind in {"#account", "#identity"}:
            yield {"did": body["did"], "time_us": self._now_us(), "kind": kind[1:], kind[1:]: body}

    def _now_us(self) -> int:
        # Jetstream's time_us is its own time of receipt, and no two events share one.
        self.last_us = max(self.last_us + 1, time.time_ns() // 1000)
        return self.last_us


def _objects(frame: bytes) -> list[dict[str, Any]]:
    """A frame is two DAG-CBOR objects one after the other."""
    return list(libipld.decode_dag_cbor_multi(frame))


def _plain(value: Any) -> Any:
    """A record as Jetstream's JSON has it: links and bytes in their JSON forms."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return (
            {"$link": _cid_text(value)}
            if value[:1] == b"\x01"
            else {"$bytes": base64.b64encode(value).decode()}
        )
    return value


def _cid_text(cid: bytes) -> str:
    return str(libipld.encode_cid(cid))
