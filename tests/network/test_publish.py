"""foryou publish and foryou doctor against a real PDS and PLC directory."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import httpx
import pytest
from network.conftest import Network
from streams import free_port, wait_until

from pipeline.operate.feed_record.record import count_graphemes

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture of a feed" * 20


@dataclass
class Publisher:
    """An account of the PDS with an app password, and the environment of a service of its."""

    did: str
    main_password: str
    app_password: str
    service_did: str
    env: dict[str, str]
    network: Network

    def publish(
        self, *arguments: str, password: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        changed = {f"FORYOU_{name.upper()}": value for name, value in settings.items()}
        secret = {"FORYOU_APP_PASSWORD": password or self.app_password}
        result = commands.run("publish", *arguments, env=self.env | secret | changed)
        assert secret["FORYOU_APP_PASSWORD"] not in result.stdout + result.stderr
        return result

    def record(self) -> dict[str, Any] | None:
        """The record as the PDS has it, or None."""
        query = {"repo": self.did, "collection": "app.bsky.feed.generator", "rkey": "for-you"}
        answer = httpx.get(f"{self.network.pds}/xrpc/com.atproto.repo.getRecord", params=query)
        return answer.json()["value"] if answer.status_code == 200 else None


@contextmanager
def serving(env: dict[str, str]) -> Iterator[None]:
    with commands.running("serve", env=env):
        wait_until(lambda: answers(env["FORYOU_HOSTNAME"]))
        yield


def answers(hostname: str) -> bool:
    try:
        return httpx.get(f"http://{hostname}/robots.txt").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def publisher(network: Network, tmp_path: Path) -> Publisher:
    [account] = network.control("accounts", n=1, prefix="publisher")
    created = network.control(
        "xrpc",
        method="POST",
        nsid="com.atproto.server.createAppPassword",
        did=account["did"],
        body={"name": "foryou"},
    )
    port = free_port()
    env = commands.environment(
        tmp_path,
        hostname=f"localhost:{port}",
        listen=f"127.0.0.1:{port}",
        publisher_did=account["did"],
        plc_url=network.plc,
        stream_url=network.firehose,
    )
    service_did = f"did:web:localhost%3A{port}"
    return Publisher(account["did"], account["password"], created["password"], service_did, env, network)


def test_create_update_delete(publisher: Publisher, tmp_path: Path) -> None:
    picture = tmp_path / "avatar.png"
    picture.write_bytes(PNG)
    with serving(publisher.env):
        created = publisher.publish("--avatar", str(picture))
        assert created.returncode == 0, created.stderr
        first = publisher.record()
        assert first is not None
        assert (first["did"], first["displayName"]) == (publisher.service_did, "For You")
        assert first["acceptsInteractions"] is True
        assert first["avatar"]["size"] == len(PNG)
        again = publisher.publish("--avatar", str(picture))
        assert "nothing to do" in again.stdout, again.stderr
        updated = publisher.publish("--name", "Mine", "--description", "Cats and boats")
        assert updated.returncode == 0, updated.stderr
        assert publisher.record() == first | {"displayName": "Mine", "description": "Cats and boats"}
        doctored = commands.run("doctor", env=publisher.env | {"FORYOU_APP_PASSWORD": publisher.app_password})
        assert f"ok      feed record     at://{publisher.did}" in doctored.stdout
        assert "ok      stream" in doctored.stdout
        assert "ok      did.json" in doctored.stdout
        # The token is the real host's; there are no lists, so the feed is empty, and that is what is said.
        assert "the feed is empty" in doctored.stdout
    assert publisher.publish("--delete").returncode == 0
    assert publisher.record() is None


TAGGED = "Vidéos 日本 #cats, by @{handle} and https://example.com/x."


def test_content_mode_facets_and_labels(publisher: Publisher, tmp_path: Path) -> None:
    """A feed of videos; what the operator then sets by hand stays, and a description brings its own facets."""
    config = tmp_path / "foryou.toml"
    config.write_text('[feeds.for-you]\nmedia = "video"\nlabels = ["nudity", "!no-unauthenticated"]\n')
    publisher.env |= {"FORYOU_CONFIG": str(config), "FORYOU_APPVIEW_URL": publisher.network.pds}
    [other] = publisher.network.control("accounts", n=1, prefix="named")
    text = TAGGED.format(handle=other["handle"])
    with serving(publisher.env):
        created = publisher.publish("--description", text)
        assert created.returncode == 0, created.stderr
        record = publisher.record()
        assert record is not None
        assert record["contentMode"] == "app.bsky.feed.defs#contentModeVideo"
        assert [label["val"] for label in record["labels"]["values"]] == ["nudity", "!no-unauthenticated"]
        content = text.encode()
        found = [
            (content[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode(), facet["features"][0])
            for facet in record["descriptionFacets"]
        ]
        kind = "app.bsky.richtext.facet#"
        assert found == [
            ("#cats", {"$type": f"{kind}tag", "tag": "cats"}),
            (f"@{other['handle']}", {"$type": f"{kind}mention", "did": other["did"]}),
            ("https://example.com/x", {"$type": f"{kind}link", "uri": "https://example.com/x"}),
        ]
        by_hand = record | {"ofTheFuture": {"x": 1}, "descriptionFacets": record["descriptionFacets"][:1]}
        body = {"repo": publisher.did, "collection": record["$type"], "rkey": "for-you", "record": by_hand}
        publisher.network.control(
            "xrpc", method="POST", nsid="com.atproto.repo.putRecord", did=publisher.did, body=body
        )
        assert "nothing to do" in publisher.publish().stdout
        assert publisher.publish("--name", "Videos").returncode == 0
        assert publisher.record() == by_hand | {"displayName": "Videos"}
        assert publisher.publish("--description", "Just #dogs", "--label", "none").returncode == 0
        changed = publisher.record()
        assert changed is not None and "labels" not in changed
        assert [facet["features"][0]["tag"] for facet in changed["descriptionFacets"]] == ["dogs"]


@pytest.mark.parametrize(
    "grapheme",
    [
        "a", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\u1112\u1161\u11ab",
        "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "\r\n", "क्षि", "1\ufe0f\u20e3", "b\u200d", "c\u200c",
    ],
)  # fmt: skip
def test_a_pds_counts_characters_as_this_program_does(publisher: Publisher, grapheme: str) -> None:
    """24 of them are a name; 25 are refused by both."""

    def put(name: str) -> bool:
        record = {
            "$type": "app.bsky.feed.generator", "did": publisher.service_did, "displayName": name,
            "createdAt": "2026-01-01T00:00:00.000Z",
        }  # fmt: skip
        body = {"repo": publisher.did, "collection": record["$type"], "rkey": "counted", "record": record}
        try:
            publisher.network.control(
                "xrpc", method="POST", nsid="com.atproto.repo.putRecord", did=publisher.did, body=body
            )
        except Exception:
            return False
        return True

    fitting = min(24, 240 // len(grapheme.encode()))
    assert count_graphemes(grapheme * fitting) == fitting
    assert put(grapheme * fitting)
    if fitting == 24 and len(grapheme.encode()) * 25 <= 240:
        assert count_graphemes(grapheme * 25) == 25
        assert not put(grapheme * 25)


def test_a_wrong_password(publisher: Publisher) -> None:
    with serving(publisher.env):
        result = publisher.publish(password="wrong-wrong-wrong-wrong")
    assert result.returncode == 1
    assert "password is wrong" in result.stderr
    assert publisher.record() is None


def test_the_main_password_works_with_a_warning(publisher: Publisher) -> None:
    with serving(publisher.env):
        result = publisher.publish(password=publisher.main_password)
    assert result.returncode == 0, result.stderr
    assert "an app password is enough" in result.stderr


def test_wrong_dids(publisher: Publisher) -> None:
    [other] = publisher.network.control("accounts", n=1, prefix="other")
    with serving(publisher.env):
        absent = publisher.publish(publisher_did="did:plc:" + "a" * 24)
        assert (absent.returncode, "status 404" in absent.stderr) == (1, True)
        theirs = publisher.publish(publisher_did=other["did"])
        assert (theirs.returncode, "does not serve" in theirs.stderr) == (1, True)
        service = publisher.publish(service_did="did:web:localhost%3A1")
        assert service.returncode == 1
    with serving(publisher.env | {"FORYOU_PUBLISHER_DID": other["did"]}):
        # The service is the other account's in every respect, the password is not.
        stolen = publisher.publish(publisher_did=other["did"])
        assert (stolen.returncode, "password is wrong" in stolen.stderr) == (1, True)
    assert publisher.record() is None


def test_an_unreachable_service_and_an_unreachable_directory(publisher: Publisher) -> None:
    result = publisher.publish()
    assert result.returncode == 1
    assert "/.well-known/did.json can't be reached" in result.stderr
    nowhere = publisher.publish(plc_url=f"http://127.0.0.1:{free_port()}")
    assert nowhere.returncode == 1
    assert "can't be reached" in nowhere.stderr
    assert publisher.record() is None
