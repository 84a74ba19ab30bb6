"""What the simulated network writes is valid by the published lexicons, as the package atproto checks them."""

from collections import Counter
from functools import cache
from typing import Any

import orjson
import pytest
from atproto import CID, AtUri, DidDocument, Multikey, models
from atproto_client.models import string_formats
from atproto_client.models.dot_dict import DotDict
from pydantic import TypeAdapter, ValidationError

from pipeline.simulate.lines.render_odd import bad_line
from pipeline.simulate.mischief.malformed import BAD_LIKES, BAD_POSTS
from pipeline.simulate.server.accounts import account_of
from pipeline.simulate.timeline import World, WorldParameters
from pipeline.simulate.world.event_columns import Kind

PARAMETERS = WorldParameters(users=1500, days=1, seed=6, end_us=1_783_036_800_000_000, rubbish=0)
RECORDS: dict[str, Any] = {
    "app.bsky.feed.like": models.AppBskyFeedLike.Record,
    "app.bsky.feed.post": models.AppBskyFeedPost.Record,
    "app.bsky.feed.repost": models.AppBskyFeedRepost.Record,
    "app.bsky.graph.follow": models.AppBskyGraphFollow.Record,
    "app.bsky.graph.block": models.AppBskyGraphBlock.Record,
    "app.bsky.actor.profile": models.AppBskyActorProfile.Record,
}
SUBJECTS = {
    "app.bsky.feed.post",
    "app.bsky.feed.generator",
    "app.bsky.graph.list",
    "app.bsky.labeler.service",
}
STRICT = {"strict_string_format": True}
DAG_CBOR, RAW = 0x71, 0x55


@pytest.fixture(scope="module")
def world() -> World:
    return World(PARAMETERS)


@pytest.fixture(scope="module")
def events(world: World) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in world.lines()]


@cache
def format_named(name: str) -> TypeAdapter[str]:
    return TypeAdapter(getattr(string_formats, name))


def is_format(name: str, text: str) -> bool:
    """Tell whether a text is a Did, a Tid, a RecordKey or a Handle."""
    try:
        format_named(name).validate_python(text, context=STRICT)
    except ValidationError:
        return False
    return True


def is_cid(text: str, codec: int) -> bool:
    found = CID.decode(text)
    return (found.version, found.codec, found.hash.size) == (1, codec, 32)


def model_of(commit: dict[str, Any]) -> Any:
    """Return a record as its lexicon's model; an exception when it is invalid."""
    return models.get_or_create(commit["record"], RECORDS[commit["collection"]], strict_string_format=True)


def test_every_commit_is_valid(events: list[dict[str, Any]]) -> None:
    seen: Counter[str] = Counter()
    subjects = set()
    for event in events:
        assert is_format("Did", event["did"]) and len(event["did"]) == len("did:plc:") + 24
        if event["kind"] != "commit":
            continue
        commit = event["commit"]
        assert is_format("Tid", commit["rev"]) and is_format("RecordKey", commit["rkey"])
        seen[f"{commit['collection'].split('.')[-1]} {commit['operation']}"] += 1
        if commit["operation"] == "delete":
            continue
        assert is_cid(commit["cid"], DAG_CBOR)
        record = model_of(commit)
        if commit["collection"] in {"app.bsky.feed.like", "app.bsky.feed.repost"}:
            uri = AtUri.from_str(record.subject.uri)
            subjects.add(uri.collection)
            assert is_format("Did", uri.host) and is_format("RecordKey", uri.rkey)
            assert is_cid(record.subject.cid, DAG_CBOR)
    assert subjects == SUBJECTS
    assert set(seen) == {
        "like create", "like update", "like delete", "post create", "post delete", "repost create", "repost delete",
        "follow create", "follow delete", "block create", "profile update",
    }  # fmt: skip


def test_every_part_of_a_post_is_of_a_known_type(events: list[dict[str, Any]]) -> None:
    """A union accepts unknown types, as a DotDict; a post of a client has none."""
    seen: Counter[str] = Counter()
    for event in events:
        commit = event.get("commit", {})
        if commit.get("collection") != "app.bsky.feed.post" or commit["operation"] == "delete":
            continue
        post = model_of(commit)
        seen.update(f"lang {code}" for code in post.langs or ())
        seen["reply"] += post.reply is not None
        if post.labels is not None:
            assert isinstance(post.labels, models.ComAtprotoLabelDefs.SelfLabels)
            seen.update(value.val for value in post.labels.values)
        for facet in post.facets or ():
            feature = facet.features[0]
            assert not isinstance(feature, DotDict)
            seen[feature.py_type] += 1
            shown = post.text.encode()[facet.index.byte_start : facet.index.byte_end].decode()
            if isinstance(feature, models.AppBskyRichtextFacet.Tag):
                assert shown == f"#{feature.tag}"
            elif isinstance(feature, models.AppBskyRichtextFacet.Mention):
                assert shown.startswith("@") and is_format("Did", feature.did)
            else:
                assert shown.removesuffix("...") in feature.uri
        if post.embed is not None:
            assert not isinstance(post.embed, DotDict)
            seen[post.embed.py_type] += 1
            assert all(is_cid(blob.ref.link, RAW) for blob in blobs_of(post.embed))
    assert set(seen) == {
        "reply", "porn", "sexual", "nudity", "!hide", "!no-unauthenticated",
        "app.bsky.richtext.facet#tag", "app.bsky.richtext.facet#link", "app.bsky.richtext.facet#mention",
        "app.bsky.embed.images", "app.bsky.embed.video", "app.bsky.embed.external", "app.bsky.embed.record",
        *(f"lang {code}" for code in ("en", "ja", "pt", "es", "de", "fr")),
    }  # fmt: skip


def blobs_of(embed: Any) -> list[Any]:
    if isinstance(embed, models.AppBskyEmbedImages.Main):
        return [image.image for image in embed.images]
    if isinstance(embed, models.AppBskyEmbedVideo.Main):
        return [embed.video]
    return [embed.external.thumb] if isinstance(embed, models.AppBskyEmbedExternal.Main) else []


def test_account_and_identity_events_are_valid(events: list[dict[str, Any]]) -> None:
    sync = models.ComAtprotoSyncSubscribeRepos
    seen: Counter[str] = Counter()
    for event in events:
        if event["kind"] == "account":
            account = models.get_or_create(event["account"], sync.Account, strict_string_format=True)
            seen[str(account.status)] += 1
            assert account.active == (account.status is None)
        elif event["kind"] == "identity":
            identity = models.get_or_create(event["identity"], sync.Identity, strict_string_format=True)
            seen["identity"] += 1
            assert is_format("Handle", identity.handle)
    assert set(seen) == {"identity", "None", "deleted", "deactivated"}


def test_a_did_document_is_valid(world: World) -> None:
    did = world.people.dids[3]
    account = account_of(world.people, did)
    assert account is not None
    document = DidDocument.from_dict(account.document())
    assert document.get_did() == did and is_format("Handle", document.get_handle())
    assert document.get_pds_endpoint() == "https://pds.simulated.example"
    assert Multikey.from_str(account.public_key_multibase).to_str() == account.public_key_multibase


# What the models accept of the malformed records: an at-uri may name a handle; optional fields may be null; and a
# union takes members of types that nobody knows.
ACCEPTED = {
    '{"cid":"bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",'
    '"uri":"at://someone.example/app.bsky.feed.post/3mptbypluud2a"}',
    '{"values":[null,3,{"val":4}]}',
    "null",
    '{"$type":4}',
    '{"images":{}}',
}
BAD = [(Kind.BAD_LIKE, which) for which in range(BAD_LIKES)] + [
    (Kind.BAD_POST, which) for which in range(BAD_POSTS)
]


def test_malformed_records_are_invalid() -> None:
    fields = {
        "did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "time": "1783036800000000", "rev": "3mptbypluud2a",
        "created": "2026-07-03T00:00:00.000Z", "cid": "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    }  # fmt: skip
    accepted = set()
    for kind, which in BAD:
        commit = orjson.loads(bad_line(fields, kind, "3mptbypluud2a", which)).get("commit")
        record = commit.get("record") if isinstance(commit, dict) else None
        name = "like" if kind is Kind.BAD_LIKE else "post"
        if record is None:  # not even a record
            continue
        try:
            model_of({"record": record, "collection": f"app.bsky.feed.{name}"})
        except Exception:  # the checks of formats raise whatever comes of the wrong type
            continue
        proper = {"$type", "createdAt", "text", "langs"}
        accepted.add(orjson.dumps(*(record[field] for field in record if field not in proper)).decode())
    assert accepted == ACCEPTED
