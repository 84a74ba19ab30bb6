"""A labeler of the simulated network: its key, its DID document, and its stream of signed labels.

Owns: what it labels, and ``com.atproto.label.subscribeLabels``. Leaves to others: the port (``listener``), its pages
(``http_pages``).

It labels a small share of posts and accounts of its own accord, as a function of the seed, and takes some labels back.
Tests and demonstrations let it label anything else. Its seqs count from 1, and all it ever said stays readable.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import libipld
import numpy as np
from coincurve import PrivateKey
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from pipeline.identifiers import post_uri
from pipeline.simulate.randomness import fraction, hashed
from pipeline.simulate.server.accounts import Account
from pipeline.simulate.timeline import World
from pipeline.simulate.world.names import labeler_did, labeler_secret

PATH = "/xrpc/com.atproto.label.subscribeLabels"
POSTS_LABELLED, AUTHORS_LABELLED, TAKEN_BACK = 0.01, 0.004, 0.1  # shares
OF_POSTS = ("porn", "sexual", "graphic-media", "spam", "!hide", "!warn", "nudity", "sensitive")
OF_AUTHORS = ("spam", "impersonation", "!hide", "porn")
_LOOK_SECONDS = 0.05
_FRAMES_A_LOOK = 500


class Labeler:
    """One labeler; every method may be called from any thread."""

    def __init__(self, world: World) -> None:
        self._world = world
        secret = labeler_secret(world.parameters.seed)
        self.did = labeler_did(world.parameters.seed)
        self._key = PrivateKey(secret)
        self._account = Account(self.did, "labeler.simulated.example", secret)
        self._lock = threading.RLock()
        self._frames: list[bytes] = []
        self._labels: dict[tuple[str, str], str | None] = {}  # what holds: (uri, value) and its expiry
        self._next_post: int | None = None

    def document(self, origin: str) -> dict[str, Any]:
        """Return the DID document; ``origin`` is where the client reached this server."""
        document = self._account.document()
        key = {**document["verificationMethod"][0], "id": f"{self.did}#atproto_label"}
        service = {"id": "#atproto_labeler", "type": "AtprotoLabeler", "serviceEndpoint": origin}
        document["verificationMethod"].append(key)
        document["service"].append(service)
        return document

    def label(self, uri: str, val: str, *, neg: bool = False, exp: str | None = None) -> int:
        """Label an at-uri or a DID, or take a label back; return the message's seq."""
        return self.send([self.signed(uri, val, neg=neg, exp=exp)])

    def signed(self, uri: str, val: str, *, neg: bool = False, exp: str | None = None) -> dict[str, Any]:
        """Return a label with its signature, made now."""
        made = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        label: dict[str, Any] = {"ver": 1, "src": self.did, "uri": uri, "val": val}
        label |= ({"neg": True} if neg else {}) | {"cts": made.replace("+00:00", "Z")}
        label |= {} if exp is None else {"exp": exp}
        # libsecp256k1 signs low-S; the recoverable form is the 64 raw bytes and a recovery id.
        signature: bytes = self._key.sign_recoverable(libipld.encode_dag_cbor(label))[:64]
        return {**label, "sig": signature}

    def send(self, labels: list[dict[str, Any]]) -> int:
        """Add one message with some labels; return its seq."""
        with self._lock:
            seq = len(self._frames) + 1
            header = libipld.encode_dag_cbor({"op": 1, "t": "#labels"})
            self._frames.append(header + libipld.encode_dag_cbor({"seq": seq, "labels": labels}))
            for label in labels:
                key = label["uri"], label["val"]
                if label.get("neg"):
                    self._labels.pop(key, None)
                else:
                    self._labels[key] = label.get("exp")
            return seq

    def send_raw(self, frame: bytes) -> int:
        """Add a message as it is, which may be malformed; return its seq."""
        with self._lock:
            self._frames.append(frame)
            return len(self._frames)

    def labels(self, now_us: int) -> list[tuple[str, str]]:
        """Return what holds now, as (uri, value); ``now_us`` is the world's time."""
        self._look(now_us)
        now = datetime.fromtimestamp(time.time(), UTC)
        with self._lock:
            return [
                key for key, exp in self._labels.items() if exp is None or datetime.fromisoformat(exp) > now
            ]

    async def stream(self, connection: ServerConnection, now_us: Callable[[], int]) -> None:
        """Send messages after the reader's cursor, until the connection ends."""
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        try:
            await asyncio.to_thread(self._look, now_us())
            text = query.get("cursor", [""])[0]
            seq = int(text) if text.lstrip("-").isdigit() else len(self._frames)
            if seq > len(self._frames):
                await connection.send(_error("FutureCursor"))
                await connection.close(1008)
                return
            seq = max(seq, 0)
            while connection.state is State.OPEN:
                await asyncio.to_thread(self._look, now_us())
                frames = self._frames[seq : seq + _FRAMES_A_LOOK]
                for frame in frames:
                    await connection.send(frame)
                seq += len(frames)
                if not frames:
                    await asyncio.sleep(_LOOK_SECONDS)
        except ConnectionClosed:
            pass

    def _look(self, now_us: int) -> None:
        """Label what was written since the last look, up to the world's time."""
        world = self._world
        with self._lock, world.lock:
            table, first = world.posts, self._next_post
            if first is None:
                self._label_authors()
                first = table.base
            first = max(first, table.base)
            created = table.since("created_us", first)
            later = np.flatnonzero(created > now_us)
            until = first + (int(later[0]) if len(later) else len(created))
            self._next_post = until
            posts = np.arange(first, until, dtype=np.int64)
            words = hashed(world.parameters.seed, 40, posts)
            posts = posts[fraction(words) < POSTS_LABELLED]
            rkeys, authors = table.of("rkey", posts).tolist(), table.of("author", posts).tolist()
            uris = [
                post_uri(world.people.dids[author], rkey) for author, rkey in zip(authors, rkeys, strict=True)
            ]
            self._label_some(uris, OF_POSTS)

    def _label_authors(self) -> None:
        people = self._world.people
        words = hashed(self._world.parameters.seed, 41, np.arange(people.count))
        chosen = np.flatnonzero(fraction(words) < AUTHORS_LABELLED).tolist()
        self._label_some([people.dids[person] for person in chosen], OF_AUTHORS)

    def _label_some(self, uris: list[str], values: tuple[str, ...]) -> None:
        for uri in uris:
            number = int.from_bytes(hashlib.sha256(uri.encode()).digest()[:8], "big")
            val = values[number % len(values)]
            self.label(uri, val)
            if number // 1_000 % 1_000 < 1_000 * TAKEN_BACK:
                self.label(uri, val, neg=True)


def _error(name: str) -> bytes:
    header: bytes = libipld.encode_dag_cbor({"op": -1})
    return header + bytes(libipld.encode_dag_cbor({"error": name}))
