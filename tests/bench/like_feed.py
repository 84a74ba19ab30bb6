"""A Jetstream of synthetic likes that is faster than any reader: lines of fixed width, cut from one matrix per block.

    python tests/bench/like_feed.py PORT LIKES DAYS ACTORS END_US SEED     serves it on loopback until killed

Likes are spread evenly over the days. Likers and authors are drawn with heavy tails from one crowd, nearly all of which
appears. Posts are made all the time and liked some hours later (log-normal); their popularity has a tail of exponent
2.2. One like in a hundred is unliked at the end of its block. The feed is a function of the seed alone, so a reader may
come back with a cursor.
"""

import base64
import hashlib
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from pipeline.simulate.randomness import Bytes, Ints, fraction, hashed
from pipeline.simulate.text_columns import cid_matrix, did_matrix, iso_matrix, tid_matrix

BLOCK = 50_000
UNLIKE_EVERY = 100
LIKES_A_POST = 9
_LIKE = (
    '{"did":"<did>","time_us":<time>,"kind":"commit","commit":{"rev":"<rev>","operation":"create",'
    '"collection":"app.bsky.feed.like","rkey":"<rkey>","record":{"$type":"app.bsky.feed.like","createdAt":"<iso>",'
    '"subject":{"cid":"<cid>","uri":"at://<author>/app.bsky.feed.post/<post>"}},"cid":"<cid>"}}'
)
_UNLIKE = (
    '{"did":"<did>","time_us":<time>,"kind":"commit","commit":{"rev":"<rev>","operation":"delete",'
    '"collection":"app.bsky.feed.like","rkey":"<rkey>"}}'
)
_WIDTHS = {"did": 32, "author": 32, "time": 16, "rev": 13, "rkey": 13, "post": 13, "iso": 24, "cid": 59}


class _Frames:
    """Unmasked text frames of one width, header included, filled column by column."""

    def __init__(self, template: str) -> None:
        text, self._places, at = "", [], 0
        for match in re.finditer(r"<(\w+)>", template):
            text += template[at : match.start()]
            self._places.append((match[1], len(text), _WIDTHS[match[1]]))
            text += "?" * _WIDTHS[match[1]]
            at = match.end()
        text += template[at:]
        head = bytes((0x81, 126)) + len(text).to_bytes(2, "big")
        self._offset = len(head)
        self._blank = np.frombuffer(head + text.encode(), np.uint8)

    def fill(self, count: int, columns: dict[str, Bytes]) -> bytes:
        matrix = np.tile(self._blank, (count, 1))
        for name, at, width in self._places:
            matrix[:, self._offset + at : self._offset + at + width] = columns[name]
        return matrix.tobytes()


@dataclass(frozen=True)
class LikeFeed:
    """``likes`` likes over ``days`` days that end at ``end_us``, by and about ``actors`` people."""

    likes: int
    days: float
    actors: int
    end_us: int
    seed: int

    @property
    def start_us(self) -> int:
        return self.end_us - int(self.days * 86_400_000_000)

    def time_us(self, number: Ints) -> Ints:
        result: Ints = self.start_us + (number * (self.days * 86_400_000_000 / self.likes)).astype(np.int64)
        return result

    def numbers(self, block: int) -> Ints:
        return np.arange(block * BLOCK, min((block + 1) * BLOCK, self.likes), dtype=np.int64)

    @property
    def blocks(self) -> int:
        return -(-self.likes // BLOCK)

    def likers(self, number: Ints) -> Ints:
        """Return who made the likes: heavy likers have small numbers."""
        return self._person(fraction(hashed(self.seed, 1, number)), 2.2)

    def rkeys(self, number: Ints) -> Ints:
        """Return the likes' keys: their clock, and how long before the stream showed them as in recorded lines."""
        luck = fraction(hashed(self.seed, 2, number)) * fraction(hashed(self.seed, 7, number))
        # Median 0.5 s, P95 0.7 s.
        lag_us = (400_000 - 60_000 * np.log(np.maximum(luck, 1e-9))).astype(np.int64)
        result: Ints = (self.time_us(number) - lag_us) << 10 | self.likers(number) & 31
        return result

    def posts(self, number: Ints) -> tuple[Ints, Ints]:
        """Return (author, rkey) of the liked posts."""
        a_day = self.likes / self.days / LIKES_A_POST
        spread = fraction(hashed(self.seed, 3, number)), fraction(hashed(self.seed, 4, number))
        normal = np.sqrt(-2 * np.log(1 - spread[0])) * np.cos(2 * np.pi * spread[1])
        back = np.minimum(np.exp(np.log(3.5 / 24) + 1.2 * normal), 5.0) * a_day
        newest = (number + 5 * self.likes / self.days) / LIKES_A_POST
        post = np.maximum(newest - back - 1, 0).astype(np.int64)
        level = np.searchsorted(_LEVELS, fraction(hashed(self.seed, 5, number)))
        post = post >> level << level
        made_us = self.time_us(post * LIKES_A_POST) - 5 * 86_400_000_000
        author = self._person(fraction(hashed(self.seed, 6, post)), 2.5)
        return author, made_us << 10 | author & 1023

    def _person(self, share: "np.ndarray", power: float) -> Ints:  # type: ignore[type-arg]
        return np.minimum((share**power * self.actors).astype(np.int64), self.actors - 1)


_LEVELS = np.cumsum(2.0 ** (-0.15 * np.arange(15))) / np.sum(2.0 ** (-0.15 * np.arange(15)))


def _digits(values: Ints) -> Bytes:
    places = 10 ** np.arange(15, -1, -1, dtype=np.int64)
    result: Bytes = (values[:, None] // places % 10 + ord("0")).astype(np.uint8)
    return result


class Renderer:
    """Blocks of a feed as websocket frames."""

    def __init__(self, feed: LikeFeed) -> None:
        self._feed = feed
        words = hashed(feed.seed, 9, np.arange(feed.actors))
        parts = [did_matrix(words[at : at + 100_000]) for at in range(0, feed.actors, 100_000)]
        self._dids = np.concatenate(parts)
        self._cid = cid_matrix(hashed(feed.seed, 8, np.arange(1)))
        self._like, self._unlike = _Frames(_LIKE), _Frames(_UNLIKE)

    def block(self, block: int) -> bytes:
        feed = self._feed
        number = feed.numbers(block)
        time_us, likers, rkeys = feed.time_us(number), feed.likers(number), feed.rkeys(number)
        authors, posts = feed.posts(number)
        likes = {
            "did": self._dids[likers],
            "time": _digits(time_us),
            "rev": tid_matrix(time_us << 10),
            "rkey": tid_matrix(rkeys),
            "iso": iso_matrix(rkeys >> 10),
            "cid": np.broadcast_to(self._cid, (len(number), 59)),
            "author": self._dids[authors],
            "post": tid_matrix(posts),
        }
        unliked = slice(UNLIKE_EVERY - 1, None, UNLIKE_EVERY)
        count = len(number[unliked])
        end_us = np.full(count, time_us[-1])
        unlikes = {
            "did": self._dids[likers[unliked]],
            "time": _digits(end_us),
            "rev": tid_matrix(end_us << 10 | 1),
            "rkey": tid_matrix(rkeys[unliked]),
        }
        return self._like.fill(len(number), likes) + self._unlike.fill(count, unlikes)


def serve(port: int, feed: LikeFeed) -> None:
    """Serve connections one after another, each from its cursor's block on; then keep it open."""
    renderer = Renderer(feed)
    with socket.create_server(("127.0.0.1", port)) as server:
        print("listening", flush=True)
        while True:
            connection = server.accept()[0]
            with connection:
                try:
                    _stream(connection, renderer, feed)
                except OSError:
                    continue


def _stream(connection: socket.socket, renderer: Renderer, feed: LikeFeed) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(65_536)
        if not part:
            return
        request += part
    shake_hands(connection, request)
    found = re.search(rb"[?&]cursor=(\d+)", request)
    cursor = int(found[1]) if found else feed.end_us
    done = (cursor - feed.start_us) / (feed.end_us - feed.start_us)
    for block in range(max(0, int(done * feed.likes) // BLOCK), feed.blocks):
        connection.sendall(renderer.block(block))
    while connection.recv(65_536):  # pings, until the reader leaves
        pass


def shake_hands(connection: socket.socket, request: bytes) -> None:
    """Answer a websocket's handshake (RFC 6455, section 4.2.2)."""
    key = re.search(rb"(?i)sec-websocket-key:\s*(\S+)", request)
    if key is None:
        raise OSError("no websocket")
    accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


if __name__ == "__main__":
    port, likes, days, actors, end_us, seed = (int(argument) for argument in sys.argv[1:])
    serve(port, LikeFeed(likes, days, actors, end_us, seed))
