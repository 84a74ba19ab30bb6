"""The simulated Jetstream over real sockets: replay, live events, filters, faults, pages, tokens."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from atproto import DidDocument, parse_jwt, verify_jwt
from atproto_crypto.consts import SECP256K1_CURVE_ORDER
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection as ClientConnectionSync
from websockets.sync.client import connect as connect_sync

from pipeline.errors import SettingError
from pipeline.simulate.ground_truth import ground_truth
from pipeline.simulate.mischief.faults import FaultCounter, parse_faults
from pipeline.simulate.mischief.malformed import noise
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.parameters import HOUR_US
from pipeline.simulate.timeline import World, WorldParameters

END_US = 1_783_036_800_000_000
PARAMETERS = WorldParameters(users=400, days=1, seed=2, end_us=END_US, communities=4)
MAX_SIZE = 8 * 1024 * 1024
# A client that closes with messages unread never sees the answer: it need not wait for it.
SOON = 0.1
LIKE = "app.bsky.feed.like"


@pytest.fixture(scope="module")
def world() -> World:
    return World(PARAMETERS)


@pytest.fixture(scope="module")
def lines(world: World) -> list[bytes]:
    return list(world.lines())


@pytest.fixture(scope="module")
def network(world: World) -> Iterator[SimulatedNetwork]:
    """A network whose clock stands at history's end."""
    with SimulatedNetwork(world, speed=0) as running:
        yield running


def open_stream(url: str) -> connect:
    return connect(url, max_size=MAX_SIZE, compression=None, close_timeout=SOON)


def read(url: str, count: int) -> list[bytes]:
    """Return the first messages of a stream."""

    async def reading() -> list[bytes]:
        async with open_stream(url) as stream:
            return [await stream.recv(decode=False) for _ in range(count)]

    return asyncio.run(asyncio.wait_for(reading(), 30))


def test_an_old_cursor_replays_all_of_history(network: SimulatedNetwork, lines: list[bytes]) -> None:
    assert read(network.stream_url + "?cursor=1", len(lines)) == lines


def test_a_cursor_starts_at_its_event(network: SimulatedNetwork, lines: list[bytes]) -> None:
    cursor = orjson.loads(lines[len(lines) // 2])["time_us"]
    assert read(f"{network.stream_url}?cursor={cursor}", 10) == lines[len(lines) // 2 :][:10]


def test_collections_leave_identity_and_account_events(
    network: SimulatedNetwork, world: World, lines: list[bytes]
) -> None:
    def wanted(line: bytes, *collections: bytes) -> bool:
        named = any(b'"collection":"' + name in line for name in collections)
        return named or b'"kind":"account"' in line or b'"kind":"identity"' in line

    likes = [line for line in lines if wanted(line, b"app.bsky.feed.like")]
    got = read(f"{network.stream_url}?cursor=1&wantedCollections={LIKE}", len(likes) - 5)
    # A malformed like may have lost its collection; the server knows that it was one.
    assert [line for line in got if wanted(line, b"app.bsky.feed.like")] == likes[: len(got) - unnamed(got)]
    graph = [line for line in lines if wanted(line, b"app.bsky.graph.", b"app.bsky.actor.profile")]
    url = f"{network.stream_url}?cursor=1&wantedCollections=app.bsky.graph.*&wantedCollections=app.bsky.actor.profile"
    assert read(url, len(graph)) == graph


def unnamed(lines: list[bytes]) -> int:
    return sum(
        b'"collection":"app.bsky.feed.like"' not in line
        and b'"kind":"account"' not in line
        and b'"kind":"identity"' not in line
        for line in lines
    )


def test_dids_and_size_filter(network: SimulatedNetwork, lines: list[bytes]) -> None:
    did = next(event["did"] for event in map(orjson.loads, lines) if event["kind"] == "commit")
    own = [line for line in lines if line.startswith(f'{{"did":"{did}"'.encode())]
    assert read(f"{network.stream_url}?cursor=1&wantedDids={did}", len(own)) == own
    small = [line for line in lines if len(line) <= 300]
    assert read(f"{network.stream_url}?cursor=1&maxMessageSizeBytes=300", len(small)) == small


def test_options_update_changes_what_comes(network: SimulatedNetwork) -> None:
    update = {"type": "options_update", "payload": {"wantedCollections": ["app.bsky.graph.block"]}}
    with connect_sync(
        network.stream_url + "?cursor=1&requireHello=true",
        compression=None,
        max_size=MAX_SIZE,
        close_timeout=SOON,
    ) as stream:
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0.1)
        stream.send(orjson.dumps(update).decode())
        event = orjson.loads(stream.recv(timeout=120))
        assert event["kind"] != "commit" or event["commit"]["collection"] == "app.bsky.graph.block"
        stream.send("rubbish")
        with pytest.raises(ConnectionClosed):
            drain(stream)


def drain(stream: ClientConnectionSync) -> None:
    while True:
        stream.recv(timeout=120)


@pytest.mark.parametrize("query", ["cursor=x", "wantedCollections=!", "wantedDids=me", "compress=true"])
def test_a_bad_query_is_refused(network: SimulatedNetwork, query: str) -> None:
    with pytest.raises(InvalidStatus) as caught, connect_sync(f"{network.stream_url}?{query}"):
        pass
    assert caught.value.response.status_code == 400


def test_live_events_follow_history_without_a_gap() -> None:
    world = World(PARAMETERS)
    with SimulatedNetwork(world, speed=30_000) as network:
        cursor = END_US - HOUR_US
        got = read(f"{network.stream_url}?cursor={cursor}", 700)
        live = read(network.stream_url, 5)
        future = read(f"{network.stream_url}?cursor={END_US * 2}", 1)
    assert orjson.loads(got[-1])["time_us"] > END_US
    assert got == list(itertools.islice(World(PARAMETERS).lines(cursor, END_US + 40 * HOUR_US), 700))
    assert orjson.loads(live[0])["time_us"] > END_US
    assert orjson.loads(future[0])["time_us"] > END_US


def test_a_reader_that_does_not_read_holds_nothing_up(network: SimulatedNetwork, lines: list[bytes]) -> None:
    with connect_sync(
        network.stream_url + "?cursor=1", compression=None, max_size=MAX_SIZE, close_timeout=SOON
    ) as idle:
        assert read(network.stream_url + "?cursor=1", len(lines)) == lines
        for connection in list(idle_connections(network)):
            assert connection.transport.get_write_buffer_size() < 4 * 1024 * 1024
        assert orjson.loads(idle.recv(timeout=120)) == orjson.loads(lines[0])


def idle_connections(network: SimulatedNetwork) -> list[Any]:
    return list(network.listening.connections)


async def _until_closed(stream: ClientConnection) -> tuple[list[bytes], int | None]:
    got: list[bytes] = []
    try:
        while True:
            got.append(await stream.recv(decode=False))
    except ConnectionClosed as closed:
        return got, closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize(
    ("kind", "code"), [("close1000", 1000), ("close1001", 1001), ("close1011", 1011), ("abort", None)]
)
def test_faults_that_end_a_connection(world: World, lines: list[bytes], kind: str, code: int | None) -> None:
    async def reading(url: str) -> tuple[list[bytes], int | None]:
        async with open_stream(url) as stream:
            return await _until_closed(stream)

    with SimulatedNetwork(world, faults=f"{kind}:20", speed=0) as network:
        got, seen = asyncio.run(reading(network.stream_url + "?cursor=1"))
        assert seen == code
        # A reset may overtake what was sent before it.
        assert got == lines[:20] or (kind == "abort" and got == lines[: len(got)])
        # The next connection goes on from its own cursor.
        assert read(network.stream_url + "?cursor=1", 5) == lines[:5]


def test_silence_keeps_the_connection_open(world: World, lines: list[bytes]) -> None:
    with (
        SimulatedNetwork(world, faults="silent:30", speed=0) as network,
        connect_sync(
            network.stream_url + "?cursor=1", compression=None, max_size=MAX_SIZE, close_timeout=SOON
        ) as stream,
    ):
        assert [stream.recv(decode=False) for _ in range(30)] == lines[:30]
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0.2)
        assert stream.ping().wait(5)


def test_rubbish_and_half_frames_come_between_events(world: World, lines: list[bytes]) -> None:
    with (
        SimulatedNetwork(world, faults="halfframe:7,rubbish:5", speed=0) as network,
        connect_sync(
            network.stream_url + "?cursor=1", compression=None, max_size=MAX_SIZE, close_timeout=SOON
        ) as stream,
    ):
        got = [stream.recv(decode=False) for _ in range(300)]
    proper = [line for line in got if line in set(lines)]
    assert proper == lines[: len(proper)]
    assert 200 < len(proper) < 250
    assert lines[6][: len(lines[6]) // 2] in got


def test_noise_takes_every_form() -> None:
    line = b'{"did":"did:plc:x","time_us":1,"kind":"commit","commit":{}}'
    forms = [noise(number, line) for number in range(13)]
    assert {is_text for is_text, _ in forms} == {True, False}
    assert max(len(payload) for _, payload in forms) > 1_000_000
    assert forms == [noise(number, line) for number in range(13)]


def test_faults_are_parsed_and_counted() -> None:
    counter = FaultCounter(parse_faults("abort:3, rubbish:2"))
    assert counter.room(10) == 2
    assert counter.count(2) == ["rubbish"]
    assert counter.room(10) == 1
    assert counter.count(1) == ["abort"]
    for wrong in ("explode:3", "abort", "abort:0", "abort:x"):
        with pytest.raises(SettingError, match="--faults"):
            parse_faults(wrong)


def test_the_directory_knows_its_accounts(network: SimulatedNetwork, world: World) -> None:
    did = world.people.dids[7]
    document = httpx.get(f"{network.plc_url}/{did}").raise_for_status().json()
    assert document["id"] == did
    assert document["alsoKnownAs"] == ["at://hugo-7.simulated.example"]
    method = document["verificationMethod"][0]
    assert method["id"] == f"{did}#atproto"
    assert method["type"] == "Multikey"
    assert method["publicKeyMultibase"].startswith("zQ3sh")
    unknown = httpx.get(f"{network.plc_url}/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")
    assert unknown.status_code == 404
    assert "not registered" in unknown.json()["message"]
    assert httpx.get(f"{network.plc_url}/elsewhere").status_code == 404


def test_a_token_is_signed_with_the_account_key(network: SimulatedNetwork, world: World) -> None:
    did, service, method = world.people.dids[3], "did:web:feed.example", "app.bsky.feed.getFeedSkeleton"
    document = DidDocument.from_dict(httpx.get(f"{network.plc_url}/{did}").raise_for_status().json())
    key = document.get_did_key()
    query = {"did": did, "aud": service, "lxm": method, "seconds": "30"}
    token = httpx.get(f"{network.plc_url}/simulator/token", params=query).raise_for_status().json()["token"]
    claims = verify_jwt(token, lambda issuer, forced: key, own_did=service)
    assert (claims.iss, claims.lxm, claims.exp - claims.iat, len(claims.jti)) == (did, method, 30, 32)
    _, _, header, signature = parse_jwt(token)
    assert header == {"typ": "JWT", "alg": "ES256K"}
    assert int.from_bytes(signature[32:], "big") <= SECP256K1_CURVE_ORDER // 2  # low-S
    assert network.token(did, service, None).count(".") == 2
    with pytest.raises(KeyError):
        network.token("did:plc:nobody", "x", None)
    for wrong in (
        {},
        {"did": did},
        {"did": did, "aud": "x", "seconds": "x"},
        {"did": did, "aud": "x", "seconds": "99999"},
    ):
        assert httpx.get(f"{network.plc_url}/simulator/token", params=wrong).status_code in {400, 404}


def test_pages_describe_the_world(network: SimulatedNetwork, world: World, lines: list[bytes]) -> None:
    status = httpx.get(f"{network.plc_url}/simulator/status").raise_for_status().json()
    assert status["events"] == len(lines)
    assert status["head_us"] == END_US - 1
    assert (status["users"], status["seed"], status["speed"]) == (400, 2, 0)
    viewers = httpx.get(f"{network.plc_url}/simulator/viewers?n=6").raise_for_status().json()
    assert [viewer["kind"] for viewer in viewers] == ["most"] * 3 + ["typical"] * 3
    assert viewers[0]["likes"] == world.like_counts.max()
    assert viewers[0]["communities"][0]["taste"] > 0.3
    until = END_US - HOUR_US
    answer = httpx.get(f"{network.plc_url}/simulator/record?until={until}").raise_for_status()
    assert answer.content.splitlines() == list(ground_truth(world, until).lines())
    for wrong in (f"record?until={END_US * 2}", "record?until=x", "viewers?n=x"):
        assert httpx.get(f"{network.plc_url}/simulator/{wrong}").status_code == 400


def test_the_thread_ends_with_the_block(world: World) -> None:
    def running() -> int:
        return sum(thread.name == "simulated-network" for thread in threading.enumerate())

    before = running()
    with SimulatedNetwork(world, speed=0):
        assert running() == before + 1
    assert running() == before
