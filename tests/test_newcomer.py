"""Somebody opens the feed of whom the stream never told: what is popular at once, their own list within a minute."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import commands
import httpx
import pytest
from fault_tools import watermark_us
from list_bytes import unpack
from serving_worlds import Account, bearer, directory
from streams import free_port, wait_until

from pipeline.identifiers import post_uri, tid_from_int
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.timeline import WorldParameters
from pipeline.store.newest_generation import newest_generation
from sql.sqlite import connect

LIKE = "app.bsky.feed.like"
SKELETON = "/xrpc/app.bsky.feed.getFeedSkeleton"


@pytest.fixture(scope="module")
def network() -> Iterator[SimulatedNetwork]:
    parameters = WorldParameters(users=150, days=2, seed=3, end_us=1_790_000_000_000_000)
    with SimulatedNetwork(parameters, speed=1) as running:
        yield running


def likes_of_somebody(data_dir: Path) -> list[tuple[int, str]]:
    """Return (rkey, at-uri of the post) of an ordinary viewer's likes: the newcomer has the same taste."""
    store = connect(data_dir / "landing.sqlite", read_only=True)
    liker = store.execute(
        "SELECT liker_id FROM likes GROUP BY liker_id HAVING count(*) BETWEEN 10 AND 40 ORDER BY count(*) DESC LIMIT 1"
    ).fetchone()[0]
    rows = store.execute(
        "SELECT l.rkey, a.did, l.post_rkey FROM likes AS l JOIN actors AS a ON a.actor_id = l.author_id "
        "WHERE l.liker_id = ? AND l.rkey > 0 ORDER BY l.rkey DESC",
        (liker,),
    ).fetchall()
    store.close()
    return [(rkey, post_uri(did, post_rkey)) for rkey, did, post_rkey in rows]


def records(viewer: str, likes: list[tuple[int, str]]) -> bytes:
    """Return the answer of listRecords."""
    found = [
        {
            "uri": f"at://{viewer}/{LIKE}/{tid_from_int(rkey)}",
            "value": {
                "$type": LIKE,
                "subject": {"uri": uri, "cid": "b"},
                "createdAt": "2026-09-20T12:00:00.000Z",
            },
        }
        for rkey, uri in likes
    ]
    return json.dumps({"records": found}).encode()


def test_a_newcomer_gets_what_is_popular_and_soon_a_list_of_their_own(
    tmp_path: Path, network: SimulatedNetwork
) -> None:
    port, data_dir = free_port(), tmp_path / "data"
    env = commands.environment(
        data_dir,
        stream_url=network.stream_url,
        stream_start_hours="1000000",
        hostname=f"localhost:{port}",
        listen=f"127.0.0.1:{port}",
        plc_url=network.plc_url,
        waiting_seconds="1",
        candidates_minutes="0.03",
        everybody_minutes="1000",
    )
    service = f"did:web:localhost%3A{port}"
    feed = quote(f"at://{service}/app.bsky.feed.generator/for-you", safe="")
    with commands.running("ingest", env=env, log=tmp_path / "log") as process:
        # The first lists are made once, so all of the stream is to be there before.
        wait_until(lambda: watermark_us(data_dir) >= network.world.parameters.end_us - 600_000_000)
        assert commands.stop(process) == 0
    with commands.running("up", env=env, log=tmp_path / "log"), directory() as pds:
        newcomer = Account(f"did:web:localhost%3A{pds.port}")
        host = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": f"http://localhost:{pds.port}",
        }
        document = {**newcomer.document(), "service": [host]}
        pds.answers["/.well-known/did.json"] = (200, json.dumps(document).encode())

        def page() -> list[str]:
            answers: list[httpx.Response] = []

            def has_answered() -> bool:
                token = newcomer.token(now=time.time(), aud=service)
                answers[:] = [
                    httpx.get(
                        f"http://127.0.0.1:{port}{SKELETON}?feed={feed}&limit=30",
                        headers={**bearer(token), "Accept-Language": "en-GB"},
                        timeout=120,
                    )
                ]
                # The host of the newcomer's DID is a thread of this process: on a busy machine it may be too slow.
                return answers[0].status_code not in (502, 503)

            wait_until(has_answered)
            assert answers[0].status_code == 200, answers[0].text
            return [item["post"] for item in answers[0].json()["feed"]]

        wait_until(lambda: newest_generation(data_dir) > 0)
        likes = likes_of_somebody(data_dir)

        def list_records(write) -> bool:
            query = parse_qs(urlsplit(pds.requests[-1]).query)
            if "listRecords" in pds.requests[-1]:
                assert (query["repo"], query["collection"]) == ([newcomer.did], [LIKE])
                body = records(newcomer.did, likes)
                write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return True
            return False

        pds.before = list_records
        wait_until(lambda: _answers(port))
        began, popular = time.monotonic(), page()
        assert popular
        assert popular in [items[:30] for items in fallbacks(data_dir, "en")]
        assert popular not in [items[:30] for items in fallbacks(data_dir, "")]
        wait_until(lambda: own_list(data_dir, newcomer.did) != [])
        seconds = time.monotonic() - began
        wait_until(lambda: page() != popular)
        wait_until(
            lambda: set(page()) <= set(own_list(data_dir, newcomer.did))
        )  # another run may come between
        assert not set(own_list(data_dir, newcomer.did)) & {uri for _, uri in likes}
        wait_until(lambda: ("candidates", "recent") in tiers(data_dir))  # now that somebody was seen
        assert tiers(data_dir) >= {
            ("neighbours", "waiting"),
            ("candidates", "waiting"),
            ("candidates", "all"),
        }
        print(f"a list of their own after {seconds:.1f} s")


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def _lists(data_dir: Path, query: str, *values: str) -> list[list[str]]:
    """Return the at-uris of the lists that a query gives."""
    store = connect(data_dir / "serving.sqlite", read_only=True)
    store.execute("BEGIN")
    found = [row[0] for row in store.execute(query, values)]
    uris = dict(store.execute("SELECT post_id, uri FROM posts"))
    store.close()
    return [[uris[item[0]] for item in unpack(items)] for items in found]


def fallbacks(data_dir: Path, language: str) -> list[list[str]]:
    """Return the fallback lists of a language that readers may still hold."""
    return _lists(data_dir, "SELECT items FROM fallbacks WHERE language = ?", language)


def own_list(data_dir: Path, viewer: str) -> list[str]:
    """Return a viewer's newest list, empty while they have none."""
    query = (
        "SELECT l.items FROM lists AS l JOIN viewers AS v USING (viewer_id) WHERE v.did = ? "
        "ORDER BY l.generation DESC LIMIT 1"
    )
    return next(iter(_lists(data_dir, query, viewer)), [])


def tiers(data_dir: Path) -> set[tuple[str, str]]:
    """Return (job, tier) of every run that was recorded."""
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    found = set(serving.execute("SELECT DISTINCT job, tier FROM runs WHERE outcome = 'done'"))
    serving.close()
    return found
