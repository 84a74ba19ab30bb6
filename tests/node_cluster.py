"""A head, nodes and the real HAProxy on loopback, as processes of their own, with viewers whose tokens are real.

Owns: starting and killing them, and requests. Leaves to the tests: what they expect.
"""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import command, environment
from serving_worlds import (
    FEED,
    INTERACTIONS,
    PUBLISHER_DID,
    SKELETON,
    Account,
    Directory,
    ServingStore,
    bearer,
    blob,
    directory,
    plc_did,
    wait_until,
)

from sql import places
from sql.shards import Shard, bucket_of
from sql.sqlite import connect

DEPLOYED = Path(__file__).resolve().parents[1] / "deploy" / "haproxy.cfg"
HOST = "127.0.0.1"
NODES = {"1a": 1, "1b": 1, "2a": 2, "2b": 2}  # the shard of each


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Part:
    """A command with everything that it started, in a session of its own."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path
    own_port: int  # of the figures, which this machine alone may read

    def send(self, number: int) -> None:
        """Send a signal to all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End all its processes at once, as a power cut does."""
        self.send(signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """Everything that runs; ``accounts`` are the viewers, by DID."""

    folder: Path
    plc: Directory
    accounts: dict[str, Account]
    shards: int = 2
    workers: int = 1
    nodes: dict[str, tuple[Part, Shard]] = field(default_factory=dict)
    head: Part | None = None
    alone: Part | None = None
    proxy: subprocess.Popen[bytes] | None = None
    proxy_port: int = 0
    generation: int = 0

    def __post_init__(self) -> None:
        self.shared.mkdir()
        self.store = ServingStore(places.serving(self.folder / "head"))
        self.posts = 600
        self.store.connection.execute("BEGIN IMMEDIATE")
        self.store.posts(range(1, self.posts))
        self.store.connection.execute("COMMIT")

    @property
    def shared(self) -> Path:
        """The folder that all machines see."""
        return self.folder / "shared"

    def publish(self, viewers: Sequence[str], chance: random.Random, length: int = 120) -> None:
        """Publish lists as the batch does."""
        self.generation += 1
        lists = {did: blob(chance.sample(range(1, self.posts), length)) for did in viewers}
        former = [(self.store._viewers[did],) for did in viewers if did in self.store._viewers]
        self.store.connection.executemany("DELETE FROM lists WHERE viewer_id = ?", former)
        self.store.publish(self.generation, lists, {"": blob(range(1, 100))}, at=time.time())

    def start(self, name: str, *arguments: str, **settings: str) -> Part:
        """Start a command with a data directory of its own."""
        port, own_port = free_port(), free_port()
        env = environment(
            self.folder / name,
            hostname="feed.example.com",
            publisher_did=PUBLISHER_DID,
            plc_url=self.plc.url,
            listen=f"{HOST}:{port}",
            pages_listen=f"{HOST}:{own_port}",
            pages="off",
            serve_workers=str(self.workers),
            **settings,
        )
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command(*arguments), env=env, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        return Part(process, port, self.folder / name, own_port)

    def start_all(self, seconds: float = 120.0) -> None:
        """Start the head, two nodes for each of two shards, the app that serves alone, and the proxy; wait for them."""
        self.start_head()
        for name, shard in NODES.items():
            self.add_node(name, shard)
        self.start_alone()
        self.wait_for(*NODES, "alone", seconds=seconds)
        self.start_proxy()
        assert wait_until(lambda: self.answers(self.proxy_port)), self.log("haproxy")

    def start_head(self) -> None:
        """Start what the head does for nodes, and give it a key of page cursors."""
        places.cursor_key(self.folder / "head").write_bytes(b"k" * 32)
        self.head = self.start("head", "sync", shared_dir=str(self.shared))

    def start_alone(self) -> None:
        """Start a web app that serves everybody from the head's lists."""
        folder = self.folder / "alone"
        folder.mkdir(exist_ok=True)
        places.serving(folder).symlink_to(places.serving(self.folder / "head"))
        for end in ("-wal", "-shm"):
            Path(f"{places.serving(folder)}{end}").symlink_to(f"{places.serving(self.folder / 'head')}{end}")
        shutil.copy(places.cursor_key(self.folder / "head"), places.cursor_key(folder))
        self.alone = self.start("alone", "serve")

    def add_node(self, name: str, shard: int) -> None:
        """Start a node."""
        text = f"{shard}/{self.shards}"
        part = self.start(name, "node", "--shared-dir", str(self.shared), "--shard", text)
        self.nodes[name] = part, Shard(shard, self.shards)

    def stop_exchange(self, name: str) -> None:
        """Stop a node's exchange, which takes lists and journals, until the node is sent SIGCONT."""
        group = self.nodes[name][0].process.pid
        stopped = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(ProcessLookupError, FileNotFoundError):
                    is_of_group = os.getpgid(int(entry.name)) == group
                    if is_of_group and b"sync" in (entry / "cmdline").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGSTOP)
                        stopped += 1
        assert stopped

    def nodes_of(self, did: str) -> list[str]:
        """Return the nodes of a viewer's shard."""
        return [name for name, (_, shard) in self.nodes.items() if shard.has(bucket_of(did))]

    def configuration(self) -> Path:
        """Write deploy/haproxy.cfg with this cluster's addresses."""
        lines, backend = [], ""
        for line in DEPLOYED.read_text().splitlines():
            words = line.split()
            if words[:1] == ["backend"]:
                backend = words[1]
            if words[:2] == ["stats", "socket"]:
                line = f"    stats socket {self.folder}/admin.sock mode 600 level admin"
            elif words[:1] == ["maxconn"]:
                line = "    maxconn 1000"  # a test may open fewer files than a proxy
            elif words[:1] == ["bind"]:
                line = f"    bind {HOST}:{self.proxy_port}"
            elif words[:1] == ["server"]:
                continue
            lines.append(line.replace("mod(2)", f"mod({self.shards})"))
            if words[:1] == ["option"] and words[1:2] == ["httpchk"]:
                for name, (part, shard) in self.nodes.items():
                    if backend in (f"shard{shard.number}", "anybody"):
                        lines.append(f"    server {name} {HOST}:{part.port}")
                if backend == "head" and self.alone is not None:
                    lines.append(f"    server head {HOST}:{self.alone.port}")
        path = self.folder / "haproxy.cfg"
        path.write_text("\n".join(lines) + "\n")
        return path

    def start_proxy(self) -> None:
        """Start HAProxy, with a master that a reload is asked of."""
        self.proxy_port = free_port()
        configuration = self.configuration()
        with (self.folder / "haproxy.log").open("ab") as log:
            self.proxy = subprocess.Popen(
                ["haproxy", "-W", "-f", str(configuration)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def reload_proxy(self) -> None:
        """Make HAProxy read its configuration again, as ``systemctl reload haproxy`` does."""
        assert self.proxy is not None
        self.configuration()
        self.proxy.send_signal(signal.SIGUSR2)

    def wait_for(self, *names: str, seconds: float = 120.0) -> None:
        """Wait until nodes, or the machine that serves alone, answer."""
        for name in names:
            part = self.alone if name == "alone" else self.nodes[name][0]
            assert part is not None
            assert wait_until(lambda part=part: self.answers(part.port), seconds), self.log(name)  # type: ignore[misc]

    def log(self, name: str) -> str:
        """Return what a command said."""
        return (self.folder / f"{name}.log").read_text()

    def answers(self, port: int) -> bool:
        """Tell whether somebody answers at a port."""
        try:
            return self.request(port, "GET", "/robots.txt")[0] == 200
        except OSError:
            return False

    def request(
        self,
        port: int,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> tuple[int, bytes]:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        with closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()

    def page(
        self, port: int, did: str | None, limit: int = 30, cursor: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Ask for a page."""
        headers = bearer(self.accounts[did].token(now=time.time())) if did else {}
        address = f"{SKELETON}?feed={FEED}&limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        status, body = self.request(port, "GET", address, headers)
        return status, json.loads(body) if status == 200 else {"error": body.decode(errors="replace")}

    def less(self, port: int, did: str, post: str) -> int:
        """Say "show less" of a post."""
        token = self.accounts[did].token("app.bsky.feed.sendInteractions", now=time.time())
        headers = bearer(token) | {"Content-Type": "application/json"}
        return self.request(port, "POST", INTERACTIONS, headers, less_body(post))[0]

    def generation_of(self, name: str) -> int:
        """Return which generation a node has."""
        with closing(connect(places.serving(self.nodes[name][0].data_dir), read_only=True)) as connection:
            return int(connection.execute("SELECT max(generation) FROM generations").fetchone()[0])

    def answers_at_head(self) -> set[tuple[str, str]]:
        """Return who said "show less" of what, as the head's activity.sqlite has it."""
        try:
            with closing(connect(places.activity(self.folder / "head"), read_only=True)) as connection:
                query = "SELECT viewer_did, post_uri FROM interactions WHERE event = 'requestLess'"
                return set(connection.execute(query).fetchall())
        except sqlite3.OperationalError:
            return set()

    def end(self) -> None:
        """End everything."""
        for part in (self.head, self.alone, *(part for part, _ in self.nodes.values())):
            if part is not None:
                part.kill()
        if self.proxy is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.proxy.pid, signal.SIGKILL)
            self.proxy.wait()
        self.store.close()


def less_body(post: str) -> str:
    """Return the body of a "show less"."""
    return json.dumps({"interactions": [{"item": post, "event": "app.bsky.feed.defs#requestLess"}]})


@contextmanager
def cluster(folder: Path, viewers: int | Sequence[int], workers: int = 1) -> Iterator[Cluster]:
    """Give a cluster with viewers who have keys, so many or of these numbers, and nothing that runs yet."""
    numbers = range(viewers) if isinstance(viewers, int) else viewers
    accounts = [Account(plc_did(number)) for number in numbers]
    with directory(keeps=True) as plc:
        plc.publish(*accounts)
        made = Cluster(folder, plc, {account.did: account for account in accounts}, workers=workers)
        try:
            yield made
        finally:
            made.end()


def pages_of(world: Cluster, port: int, did: str | None) -> list[Any]:
    """Return all posts of a feed, page by page, with what the app reports back about each."""
    """Return all posts of a feed, page by page, with what the app reports back about each."""
    posts: list[Any] = []
    cursor = ""
    while True:
        status, page = world.page(port, did, 50, cursor)
        assert status == 200, page
        posts += page["feed"]
        cursor = page.get("cursor", "")
        if not cursor:
            return posts


class Load:
    """Viewers who read pages and say "show less", in threads, until ``stop``; what was not answered 200 is counted."""

    def __init__(self, cluster: Cluster, port: int, viewers: Sequence[str], threads: int = 3) -> None:
        self._cluster, self._port, self._viewers = cluster, port, viewers
        self.answered: Counter[int] = Counter()
        self.failures: list[str] = []
        self.less: set[tuple[str, str]] = set()
        self.seconds: list[float] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        mine = self._viewers[number :: len(self._threads)]
        while not self._stopping.is_set():
            did = chance.choice(mine)
            status, page = self._timed(self._cluster.page, did)
            if status == 200 and page.get("cursor") and chance.random() < 0.3:
                status, page = self._timed(self._cluster.page, did, 30, page["cursor"])
            if status == 200 and chance.random() < 0.4 and page["feed"]:
                post = chance.choice(page["feed"])["post"]
                if self._timed(self._cluster.less, did, post)[0] == 200:
                    self.less.add((did, post))

    def _timed(self, send: Any, *arguments: Any) -> tuple[int, Any]:
        began = time.monotonic()
        try:
            answer = send(self._port, *arguments)
        except OSError as error:
            answer = 0, {"error": repr(error)}
        status, body = answer if isinstance(answer, tuple) else (answer, {})
        self.seconds.append(time.monotonic() - began)
        self.answered[status] += 1
        if status != 200:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {send.__name__} {status} {body}")
        return status, body
