"""foryou publish against a small PDS on loopback: what is written, what is not, and what is said."""

import os
import pty
import subprocess
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import pytest
from pds_server import MAIN_PASSWORD, PASSWORD, Pds, RefusedError, cid_of, pds
from serving_worlds import Account, plc_did
from streams import free_port

from pipeline.operate.feed_record.facets import facets_of
from pipeline.operate.feed_record.record import Avatar, WantedFields, count_graphemes, record_of

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture" * 20
DID_JSON = "/.well-known/did.json"
DESCRIPTION = "/xrpc/app.bsky.feed.describeFeedGenerator"


@dataclass
class World:
    """A publisher's PDS, and a service at the same address that is as it should be."""

    pds: Pds
    env: dict[str, str]
    did: str

    @property
    def record(self) -> dict[str, Any]:
        return self.pds.records["for-you"]

    def publish(self, *arguments: str, password: str | None = PASSWORD) -> subprocess.CompletedProcess[str]:
        env = self.env if password is None else self.env | {"FORYOU_APP_PASSWORD": password}
        result = commands.run("publish", *arguments, env=env)
        if password:
            assert password not in result.stdout + result.stderr
        return result

    def fails(self, *arguments: str, password: str | None = PASSWORD) -> str:
        result = self.publish(*arguments, password=password)
        assert result.returncode == 1, result.stdout
        assert self.pds.writes == []
        [line] = result.stderr.splitlines()
        return line


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with pds(Account(plc_did(1))) as held:
        hostname = held.url.removeprefix("http://")
        did = "did:web:" + hostname.replace(":", "%3A")
        service = {"id": "#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": held.url}
        uri = f"at://{held.account.did}/app.bsky.feed.generator/for-you"
        held.documents[DID_JSON] = (200, {"id": did, "service": [service]})
        held.documents[DESCRIPTION] = (200, {"did": did, "feeds": [{"uri": uri}]})
        env = commands.environment(
            tmp_path / "data", hostname=hostname, publisher_did=held.account.did, plc_url=held.url
        )
        yield World(held, env, did)


def test_create_update_delete(world: World, tmp_path: Path) -> None:
    assert world.publish().returncode == 0
    created = dict(world.record)
    assert created.pop("createdAt").endswith("Z")
    assert created == {
        "$type": "app.bsky.feed.generator",
        "did": world.did,
        "displayName": "For You",
        "description": "People who liked what you liked also like this.",
        "acceptsInteractions": True,
    }
    assert world.pds.sessions == set()  # logged out
    picture = tmp_path / "avatar.png"
    picture.write_bytes(PNG)
    since = world.record["createdAt"]
    updated = world.publish("--name", "Für dich", "--avatar", str(picture), "--no-accepts-interactions")
    assert updated.returncode == 0, updated.stderr
    assert world.record["displayName"] == "Für dich"
    assert world.record["acceptsInteractions"] is False
    assert world.record["avatar"]["ref"] == {"$link": cid_of(PNG)}
    assert world.record["createdAt"] == since
    deleted = world.publish("--delete")
    assert deleted.returncode == 0
    assert world.pds.records == {}
    assert "nothing to do" in world.publish("--delete").stdout


def test_nothing_is_written_twice(world: World, tmp_path: Path) -> None:
    picture = tmp_path / "avatar.png"
    picture.write_bytes(PNG)
    arguments = ("--name", "Mine", "--avatar", str(picture))
    assert world.publish(*arguments).returncode == 0
    world.pds.calls.clear()
    for again in ((), arguments):
        result = world.publish(*again, password=None)  # nothing to write, so nobody is asked
        assert (result.returncode, world.pds.calls) == (0, ["getRecord"]), result.stderr
        assert "nothing to do" in result.stdout
        world.pds.calls.clear()


def test_what_is_not_named_is_kept(world: World, tmp_path: Path) -> None:
    world.pds.records["for-you"] = {
        "$type": "app.bsky.feed.generator",
        "did": "did:web:old.example.com",
        "displayName": "Old",
        "createdAt": "2024-01-01T00:00:00.000Z",
        "avatar": {"$type": "blob", "ref": {"$link": cid_of(PNG)}, "mimeType": "image/png", "size": len(PNG)},
        "contentMode": "app.bsky.feed.defs#contentModeVideo",
        "ofTheFuture": {"kept": True},
    }
    world.pds.blobs[cid_of(PNG)] = PNG
    expected = world.record | {"did": world.did, "description": "New"}
    result = world.publish("--description", "New")
    assert result.returncode == 0
    assert "did: 'did:web:old.example.com' ->" in result.stdout
    assert world.record == expected
    assert "uploadBlob" not in world.pds.calls


def test_a_dry_run_changes_nothing_and_needs_no_password(world: World) -> None:
    result = world.publish("--dry-run", password=None)
    assert result.returncode == 0
    assert "would create" in result.stdout
    world.publish()
    world.pds.calls.clear()
    assert "would delete" in world.publish("--dry-run", "--delete", password=None).stdout
    assert "would update" in world.publish("--dry-run", "--name", "Other", password=None).stdout
    assert world.pds.writes == []


def test_the_password_is_asked_for_at_a_terminal(world: World) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        commands.command("publish"),
        env=world.env,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    shown = b""
    while b"App password" not in shown:
        shown += os.read(parent, 1000)
    time.sleep(0.1)  # the prompt is shown before echoing ends
    os.write(parent, PASSWORD.encode() + b"\n")
    try:
        while data := os.read(parent, 1000):
            shown += data
    except OSError:
        pass  # how a pseudo-terminal says that the other side is gone
    os.close(parent)
    assert process.wait(120) == 0
    assert PASSWORD.encode() not in shown
    assert "for-you" in world.pds.records


def test_wrong_passwords(world: World) -> None:
    assert "password is wrong" in world.fails(password="wrong-wrong-wrong")
    assert "an app password is needed" in world.fails(password=None)
    world.pds.refuse_login = RefusedError(401, "AuthFactorTokenRequired")
    assert "use an app password" in world.fails()
    world.pds.refuse_login = RefusedError(429, "RateLimitExceeded")
    assert "too many attempts" in world.fails()


def test_a_main_password_works_with_a_warning(world: World) -> None:
    result = world.publish(password=MAIN_PASSWORD)
    assert result.returncode == 0
    assert "an app password is enough" in result.stderr


def test_somebody_elses_write_is_not_overwritten(world: World) -> None:
    world.publish()
    world.pds.before_write = lambda: world.record.update(displayName="Theirs")
    result = world.publish("--name", "Mine")
    assert result.returncode == 1
    assert "somebody else changed the record" in result.stderr
    assert world.record["displayName"] == "Theirs"


def test_a_record_that_somebody_else_creates_meanwhile_is_not_overwritten(world: World) -> None:
    theirs = {"$type": "app.bsky.feed.generator", "displayName": "Theirs"}
    world.pds.before_write = lambda: world.pds.records.update({"for-you": theirs})
    assert "somebody else changed the record" in world.publish().stderr
    assert world.record == theirs


def test_a_password_follows_no_redirect_and_a_token_is_in_no_message(world: World) -> None:
    login = "/xrpc/com.atproto.server.createSession"
    world.pds.documents[login] = (307, None)
    assert "redirects to https://elsewhere.example/, which is not followed" in world.fails()
    for body in ({"did": 1, "accessJwt": "a-token"}, [1], b"a-token"):
        world.pds.documents[login] = (200, body)
        said = world.fails()
        assert "logging in" in said and "does not allow" in said and "a-token" not in said
    world.pds.documents[login] = (500, b"<html>")
    assert "says 500" in world.fails()


def test_what_makes_a_published_feed_fail_is_said_before(world: World) -> None:
    service = dict(world.pds.documents[DID_JSON][1]["service"][0])

    def document(**changes: Any) -> tuple[int, Any]:
        return 200, {"id": world.did, "service": [service | changes]}

    cases: list[tuple[str, tuple[int, Any], str]] = [
        (DID_JSON, (404, {}), "status 404 instead of 200"),
        (DID_JSON, (302, None), "redirects to https://elsewhere.example/"),
        (DID_JSON, (200, b"<html>"), "not a JSON object"),
        (
            DID_JSON,
            (200, {"id": "did:web:other.example.com"}),
            "is the document of 'did:web:other.example.com'",
        ),
        (DID_JSON, (200, {"id": world.did}), "names no service #bsky_fg"),
        (DID_JSON, document(type="Other"), "names no service #bsky_fg"),
        (DID_JSON, document(serviceEndpoint="http://feed.example.com"), "it must be exactly"),
        (DID_JSON, document(serviceEndpoint=world.pds.url + "/feed"), "it must be exactly"),
        (DESCRIPTION, (200, {"did": "did:web:other.example.com"}), "another program answers there"),
        (DESCRIPTION, (200, {"did": world.did, "feeds": []}), "does not serve at://"),
        (DESCRIPTION, (502, {}), "status 502"),
    ]
    for path, answer, said in cases:
        right = world.pds.documents[path]
        world.pds.documents[path] = answer
        assert said in world.fails()
        world.pds.documents[path] = right


def test_wrong_accounts_and_hosts(world: World) -> None:
    nowhere = f"127.0.0.1:{free_port()}"

    def said(**settings: str) -> str:
        changed = {f"FORYOU_{name.upper()}": value for name, value in settings.items()}
        return World(world.pds, world.env | changed, world.did).fails()

    assert "can't be reached" in said(hostname=nowhere)
    assert "can't be reached" in said(plc_url=f"http://{nowhere}")
    assert "status 404" in said(publisher_did=plc_did(2))
    assert "neither a did:plc nor a did:web" in said(publisher_did="did:key:z6MkhaXg")
    assert "has no repository" in said(publisher_did=world.did, service_did="did:plc:" + "a" * 24)
    assert "FORYOU_PUBLISHER_DID is not set" in said(publisher_did=world.did)


def test_an_account_on_an_unsafe_host_is_never_sent_a_password(world: World) -> None:
    document = world.pds.document()
    document["service"][0]["serviceEndpoint"] = "http://pds.example.com"
    world.pds.documents[f"/{world.pds.account.did}"] = (200, document)
    assert "only https is safe" in world.fails()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "x" * 25), "--name is too long"),
        (("--name", ""), "--name is empty"),
        (("--description", "x" * 301), "--description is too long"),
        (("--label", "prn"), "'prn' is no label of a record: expected porn, "),
        (("--avatar", "absent.png"), "can't be read"),
        (("--avatar", __file__), "neither a PNG nor a JPEG"),
    ],
)
def test_fields_that_bluesky_would_refuse(world: World, arguments: tuple[str, ...], said: str) -> None:
    assert said in world.fails(*arguments)


def test_too_large_an_avatar(world: World, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(PNG + bytes(1_000_000))
    assert "at most 1,000,000 are allowed" in world.fails("--avatar", str(tmp_path / "large.png"))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("abc", 3),
        ("e\u0301", 1),
        ("👩‍👩‍👧‍👦", 1),
        ("👍🏽", 1),
        ("🇩🇪🇫🇷", 2),
        ("🇩🇪🇫", 2),
        (
            "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
            1,
        ),  # Scotland: a tag sequence
        (unicodedata.normalize("NFD", "한국"), 2),
        ("می\u200cخواهم", 7),
        ("a\u200db", 2),
        ("👩\u200da", 2),
        ("a\r\nb", 3),
        ("a\n\rb", 4),
        ("क्षि", 1),
        ("1\ufe0f\u20e3", 1),
        ("", 0),
    ],
)
def test_characters_are_counted_as_the_lexicon_does(text: str, count: int) -> None:
    """What the reference's own counter says (unicode-segmenter); tests/network has a PDS refuse what is longer."""
    assert count_graphemes(text) == count


def facets(text: str) -> list[tuple[str, str]]:
    """The facets of a text, each as what it covers and what it is."""
    found = facets_of(text, {"alice.example": "did:plc:alice"}.get)
    content = text.encode()
    return [
        (
            content[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode(),
            next(value for name, value in facet["features"][0].items() if name != "$type"),
        )
        for facet in found
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("日本 👩‍👩‍👧 https://a.example/x?y=1#z, und", [("https://a.example/x?y=1#z", "https://a.example/x?y=1#z")]),
        ("(https://a.example)", [("https://a.example", "https://a.example")]),
        ("https://a.example/b_(c).", [("https://a.example/b_(c)", "https://a.example/b_(c)")]),
        ("see bsky.app/about.", [("bsky.app/about", "https://bsky.app/about")]),
        ("file.txt or 3.14 or a..b or x@bsky.app", []),
        ("By @alice.example!", [("@alice.example", "did:plc:alice")]),
        ("(@Alice.example)", [("@Alice.example", "did:plc:alice")]),
        ("@nobody.example @alice me@alice.example", []),
        ("ü #cats, #Katzen_und-Hunde! #猫 #1 #1a x#y #", [
            ("#cats", "cats"), ("#Katzen_und-Hunde", "Katzen_und-Hunde"), ("#猫", "猫"), ("#1a", "1a"),
        ]),
        ("＃cats", [("＃cats", "cats")]),
        ("#️⃣ " + "#" + "x" * 65, []),
        ("@alice.example https://bsky.app #a", [
            ("@alice.example", "did:plc:alice"), ("https://bsky.app", "https://bsky.app"), ("#a", "a"),
        ]),
        ("", []),
    ],
)  # fmt: skip
def test_links_tags_and_mentions_of_a_description(text: str, found: list[tuple[str, str]]) -> None:
    assert facets(text) == found


PRESENT = {
    "$type": "app.bsky.feed.generator", "did": "did:web:a.example", "displayName": "Mine",
    "description": "by me #cats", "createdAt": "2024-01-01T00:00:00.000Z",
}  # fmt: skip
BY_HAND = [
    {
        "index": {"byteStart": 0, "byteEnd": 2},
        "features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://me.example"}],
    }
]


def recorded(present: dict[str, Any] | None, **wanted: Any) -> dict[str, Any]:
    return record_of(present, WantedFields("did:web:a.example", **wanted), 0.0)


def test_facets_are_made_with_a_description_and_stay_with_it() -> None:
    assert [facet["features"][0]["tag"] for facet in recorded(PRESENT)["descriptionFacets"]] == ["cats"]
    by_hand = PRESENT | {"descriptionFacets": BY_HAND}
    assert recorded(by_hand)["descriptionFacets"] == BY_HAND
    assert recorded(by_hand, description="by me #cats")["descriptionFacets"] == BY_HAND
    assert "descriptionFacets" not in recorded(by_hand, description="by me")
    assert len(recorded(by_hand, description="#a #b")["descriptionFacets"]) == 2
    assert "descriptionFacets" not in recorded(None)


def test_what_a_record_says_of_its_content_and_its_mode() -> None:
    labelled = recorded(PRESENT, labels=("porn",), content_mode="video")
    assert labelled["labels"] == {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "porn"}]}
    assert labelled["contentMode"] == "app.bsky.feed.defs#contentModeVideo"
    assert recorded(labelled) == labelled, "what nobody names stays"
    assert "labels" not in recorded(labelled, labels=())
    assert recorded(labelled, content_mode="unspecified")["contentMode"].endswith("#contentModeUnspecified")


def test_a_record_of_the_future_is_kept_as_it_is() -> None:
    odd = PRESENT | {
        "contentMode": "app.example.defs#contentModeSmell",
        "labels": {"$type": "app.example.labels", "of": {"the": ["future"]}},
        "descriptionFacets": [{**BY_HAND[0], "features": [{"$type": "app.example#feature", "x": 1}]}],
        "ofTheFuture": {"kept": [1, None, {"$link": "b"}]},
    }
    assert recorded(odd, name="New") == odd | {"displayName": "New"}


def test_the_cid_of_a_picture_is_the_one_a_pds_gives() -> None:
    # Of the five bytes "hello", as every IPFS tool has it.
    assert Avatar(b"hello", "image/png").cid == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


def test_several_feeds_are_published_one_or_all(world: World, tmp_path: Path) -> None:
    """[feeds.NAME] tables: each gets its record, with its own title; what would touch several must say which."""
    config = tmp_path / "foryou.toml"
    config.write_text(
        '[feeds.quiet]\npopularity_exponent = 0.5\ntitle = "Quiet"\n[feeds.videos]\nmedia = "video"\n'
        'description = "Moving pictures #video"\nlabels = ["nudity"]\n'
    )
    world.env["FORYOU_CONFIG"] = str(config)
    rkeys = ("for-you", "quiet", "videos")
    uris = [{"uri": f"at://{world.pds.account.did}/app.bsky.feed.generator/{rkey}"} for rkey in rkeys]
    world.pds.documents[DESCRIPTION] = (200, {"did": world.did, "feeds": uris})
    assert "name it with --feed" in world.fails("--name", "Mine")
    assert "--delete needs --feed, one of for-you, quiet, videos" in world.fails("--delete")
    assert "--feed loud: unknown feed; expected one of for-you, quiet, videos" in world.fails(
        "--feed", "loud"
    )
    assert world.publish("--feed", "quiet").returncode == 0
    assert set(world.pds.records) == {"quiet"}
    result = world.publish()
    assert result.returncode == 0, result.stderr
    assert set(world.pds.records) == set(rkeys)
    assert world.pds.records["quiet"]["displayName"] == "Quiet"
    videos = world.pds.records["videos"]
    assert videos["description"] == "Moving pictures #video"
    assert videos["contentMode"] == "app.bsky.feed.defs#contentModeVideo"
    assert videos["labels"]["values"] == [{"val": "nudity"}]
    assert [facet["features"][0]["tag"] for facet in videos["descriptionFacets"]] == ["video"]
    assert "contentMode" not in world.pds.records["quiet"]
    assert "generator/quiet is already as it should be" in result.stdout
    assert world.publish("--feed", "videos", "--delete").returncode == 0
    assert set(world.pds.records) == {"for-you", "quiet"}
