"""Hosts of repositories for bench_newcomers.py and bench_strangers.py: an honest one, and those that are not.

Owns: a port for each DID, in an event loop of a thread, and a directory that names it. Leaves to others: who has
which kind of host, and what is measured.
"""

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from repositories import record_of  # noqa: E402

from pipeline.identifiers import post_uri, tid_at  # noqa: E402

SLOW_KINDS = ("silent", "answers after 7 s", "drips", "huge", "lists without end", "busy", "closed")
LIKING_KINDS = ("invents authors", "likes what is there")  # a thousand likes each


class RepositoryHosts:
    """A directory, a crowd's hosts and an honest one: ports of an event loop in a thread of its own."""

    def __init__(
        self,
        kinds: Mapping[str, str],
        honest: Mapping[str, list[dict[str, Any]]],
        known_posts: Sequence[str] = (),
    ) -> None:
        self._kinds, self._honest, self._known_posts = kinds, honest, known_posts
        self.requests: Counter[str] = Counter()
        self._ports: dict[str, int] = {}
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    @property
    def url(self) -> str:
        return f"http://localhost:{self._ports['directory']}"

    def service(self, did: str) -> dict[str, str]:
        """Return what a DID's document says of the host of its repository."""
        url = f"http://localhost:{self._ports[did]}"
        return {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": url}

    async def _serve(self) -> None:
        async def listen(name: str, kind: str) -> None:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.requests[kind] += 1
                    await self._answer(kind, head.split(b" ")[1].decode(), writer)
                except (OSError, asyncio.IncompleteReadError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            self._ports[name] = server.sockets[0].getsockname()[1]
            if kind == "closed":
                server.close()

        await listen("directory", "directory")
        for did in self._honest:
            await listen(did, "honest")
        for did, kind in self._kinds.items():
            await listen(did, kind)
        self._ready.set()
        await asyncio.Event().wait()

    async def _answer(self, kind: str, path: str, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if kind == "directory":
            await asyncio.sleep(0.03)
            did = parts.path[1:].replace("%3A", ":")
            await self._send(writer, 200, {"id": did, "service": [self.service(did)]})
        elif kind == "silent":
            await asyncio.sleep(1000)
        elif kind == "drips":
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(1000):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.5)
        elif kind == "huge":
            await self._send(writer, 200, "x" * 300_000)
        elif kind == "busy":
            await self._send(writer, 429, {}, "Retry-After: 20\r\n")
        elif "getLatestCommit" in path:
            await asyncio.sleep(7 if kind == "answers after 7 s" else 0.05)
            await self._send(writer, 501, {})
        elif kind == "honest":
            await asyncio.sleep(0.05)
            await self._send(writer, 200, {"records": self._honest[query["repo"]]})
        elif kind in LIKING_KINDS:
            first = int(query.get("cursor", "0"))
            after = min(first + int(query.get("limit", "100")), 1_000)
            records = [self._record(kind, query["repo"], number) for number in range(first, after)]
            cursor = {"cursor": str(after)} if after < 1_000 else {}
            await self._send(writer, 200, {"records": records, **cursor})
        else:
            await asyncio.sleep(7 if kind == "answers after 7 s" else 1)
            records = [record_of(query["repo"], 1, number) for number in range(50)]
            cursor = {"cursor": str(self.requests[kind])} if kind == "lists without end" else {}
            await self._send(writer, 200, {"records": records, **cursor})

    def _record(self, kind: str, did: str, number: int) -> dict[str, Any]:
        record = record_of(did, 3_600_000_000 + number * 60_000_000, number)
        if kind == "invents authors":
            author = f"did:web:{'a' * 1_900}{number}.example"
            record["value"]["subject"]["uri"] = post_uri(author, tid_at(time.time_ns() // 1000))
        else:
            record["value"]["subject"]["uri"] = self._known_posts[number % len(self._known_posts)]
        return record

    @staticmethod
    async def _send(writer: asyncio.StreamWriter, status: int, body: Any, headers: str = "") -> None:
        data = json.dumps(body).encode()
        writer.write(f"HTTP/1.0 {status} X\r\nContent-Length: {len(data)}\r\n{headers}\r\n".encode() + data)
        await writer.drain()
