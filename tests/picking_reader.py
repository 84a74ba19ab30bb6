"""A feed on a simulated network, and a reader without likes who signs in at its pages: real server, real batch.

Owns: starting them, and what the simulator knows of which community a post is of. Leaves to the tests: what the reader
does. The reader's account is at a server of its own; the simulated network has never heard of it.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import commands
import httpx
import numpy as np
from authorization_server import AuthorizationServer, authorization_server
from serving_worlds import PUBLISHER_DID, SKELETON, directory, plc_did
from streams import free_port, wait_until

from pipeline.identifiers import parse_post_uri
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from sql import places
from sql.sqlite import connect, has_tables

END_US = 1_790_000_000_000_000


@dataclass
class Running:
    """A feed that runs, and its reader."""

    address: str
    data_dir: Path
    reader: str
    server: AuthorizationServer
    network: SimulatedNetwork

    def community_of(self, post_uri: str) -> str:
        """Return which community a post is of, by the simulator."""
        world, parsed = self.network.world, parse_post_uri(post_uri)
        assert parsed is not None
        author = world.people.number[parsed[0]]
        posts = np.arange(world.posts.base, world.posts.end)
        mine = (world.posts.of("author", posts) == author) & (world.posts.of("rkey", posts) == parsed[1])
        [number] = world.posts.of("community", posts[mine])
        return world.people.communities.names[int(number)]

    def popular_posts(self) -> list[str]:
        """Return what somebody without a list gets."""
        feed = f"at://{PUBLISHER_DID}/app.bsky.feed.generator/for-you"
        page = httpx.get(f"{self.address}{SKELETON}", params={"feed": feed, "limit": 30}).json()
        return [item["post"] for item in page["feed"]]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/health").status_code == 200
        except httpx.TransportError:
            return False

    def has_communities(self) -> bool:
        path = places.serving(self.data_dir)
        if not has_tables(path, "communities"):
            return False
        with closing(connect(path, read_only=True)) as store:
            return bool(store.execute("SELECT count(*) FROM communities").fetchone()[0])


@contextmanager
def running_feed(tmp_path: Path) -> Iterator[Running]:
    """Run a feed with public pages until it has lists and communities."""
    parameters = WorldParameters(
        users=800, days=2, seed=3, end_us=END_US, clustering="strong", communities=12
    )
    reader, port, data_dir = plc_did(777), free_port(), tmp_path / "data"
    with (
        SimulatedNetwork(parameters, speed=1) as network,
        directory() as plc,
        authorization_server() as server,
    ):
        service = {
            "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": server.origin,
        }  # fmt: skip
        plc.answers[f"/{reader}"] = (200, json.dumps({"id": reader, "service": [service]}).encode())
        env = commands.environment(
            data_dir,
            stream_url=network.stream_url,
            stream_start_hours="1000000",
            hostname=f"localhost:{port}",
            listen=f"127.0.0.1:{port}",
            pages="public",
            publisher_did=PUBLISHER_DID,
            plc_url=plc.url,
            appview_url=network.plc_url,
            image_hosts=network.plc_url,
            app_url=network.plc_url,
            waiting_seconds="1",
            candidates_minutes="1",
            everybody_minutes="1",
        )
        running = Running(f"http://127.0.0.1:{port}", data_dir, reader, server, network)
        with commands.running("up", env=env, log=tmp_path / "log"):
            wait_until(lambda: running.has_communities() and running.answers())
            yield running
