"""Which posts the operator's rules about texts are about, judged as they come in."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from batch_tools import settings_for
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_worlds import plc_did

from pipeline.backfill import file_of_lines
from pipeline.blocking import command, watched_rules
from pipeline.blocking.rule_file import RulesError, add
from pipeline.blocking.rules import ALLOW, BLOCK, Rule, canonical
from pipeline.blocking.text_rules import TextRules, check_of
from pipeline.blocking.watched_rules import WatchedRules
from pipeline.ingest import jetstream, jetstream_v2
from pipeline.store.events import EventBatch
from pipeline.store.model import PostFlag
from sql import places


def rules(*lines: str) -> TextRules:
    found = []
    for line in lines:
        action, kind, value = line.split(" ", 2)
        found.append(Rule(action, kind, canonical(action, kind, value)))
    return TextRules(found)


def link(uri: str) -> dict[str, Any]:
    return {"facets": [{"features": [{"$type": "app.bsky.richtext.facet#link", "uri": uri}]}]}


def tag(name: str) -> dict[str, Any]:
    return {"facets": [{"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": name}]}]}


def card(uri: str = "https://x.example", title: str = "", description: str = "") -> dict[str, Any]:
    external = {"uri": uri, "title": title, "description": description}
    return {"embed": {"$type": "app.bsky.embed.external", "external": external}}


def with_quote(post: dict[str, Any]) -> dict[str, Any]:
    return {"embed": {"$type": "app.bsky.embed.recordWithMedia", "record": {}, "media": post["embed"]}}


@pytest.mark.parametrize(
    ("uri", "blocked"),
    [
        ("https://spam.example", True),
        ("https://spam.example/a?b#c", True),
        ("http://www.spam.example:8080/x", True),
        ("HTTPS://SPAM.Example./", True),
        ("https://user:secret@spam.example/", True),
        ("https:\\\\spam.example\\x", True),
        ("https:///spam.example", True),
        ("https://sp\nam.example", True),
        ("https://%73pam.example", True),
        ("https://ｓｐａｍ.example", True),
        ("https://notspam.example", False),
        ("https://spam.example.org", False),
        ("https://good.example/?u=https://spam.example", False),
        ("https://good.example/@spam.example", False),
        ("https://spam.example@good.example", False),
        ("https://shop.spam.example/x", False),
        ("https://bad.shop.spam.example", True),
        ("https://bücher.example", True),
        ("https://xn--bcher-kva.example", True),
        ("https://[::1]/", False),
        ("https://", False),
        ("mailto:x@spam.example", False),
        ("", False),
    ],
)
def test_links_lead_to_a_domain_as_browsers_read_them(uri: str, blocked: bool):
    made = rules(
        "block domain spam.example",
        "allow domain shop.spam.example",
        "block domain bad.shop.spam.example",
        "block domain bücher.example",
    )
    for post in (link(uri), card(uri), with_quote(card(uri))):
        assert made.block(post) is blocked, post


@pytest.mark.parametrize(
    ("name", "blocked"),
    [
        ("giveaway", True), ("GiveAway", True), ("#giveaway", True), ("ｇｉｖｅａｗａｙ", True),
        ("give\u200baway", True), ("giveaways", False), ("", False),
    ],
)  # fmt: skip
def test_hashtags_of_the_text_and_beside_it(name: str, blocked: bool):
    made = rules("block hashtag GiveAway")
    assert made.block(tag(name)) is blocked
    assert made.block({"tags": ["cats", name]}) is blocked
    assert not made.block({"text": f"giveaway #{name}"}), "a hashtag is one that the app shows as such"


@pytest.mark.parametrize(
    ("word", "text", "blocked"),
    [
        ("crypto", "Buy CRYPTO!", True),
        ("crypto", "cryptography", False),
        ("crypto", "#crypto", True),
        ("crypto", "cry\u200dp\u00adto", True),
        ("crypto", "ｃｒｙｐｔｏ", True),
        ("straße", "STRASSE", True),
        ("cafe\u0301", "café", True),
        ("café", "cafe", False),
        ("buy now", "so buy\n NOW.", True),
        ("buy now", "buy it now", False),
        ("now", "knowledge", False),
        ("don't", "don’t", True),
        ("c++", "in C++ again", True),
        ("c#", "c# ok", True),
        ("spam.example", "see spam.example.", True),
        ("暗号", "暗号資産を買う", True),
        ("号暗", "暗号資産を買う", False),
        ("ซื้อ", "มาซื้อเลย", True),
        ("кот", "КОТ и кит", True),
        ("кот", "который", False),
        ("🍆", "🍆!", True),
        ("👩", "👩‍👩‍👧", False),
    ],
)
def test_words_are_whole_words_in_any_script(word: str, text: str, blocked: bool):
    made = rules("block word never there", f"block word {word}")
    for post in (
        {"text": text},
        {"text": f"{text} {'and more ' * 30}"},
        card(title=text),
        card(description=text),
        with_quote(card(title=text)),
        {"embed": {"$type": "app.bsky.embed.images", "images": [{"alt": "a cat"}, {"alt": text}]}},
        {"embed": {"$type": "app.bsky.embed.gallery", "items": [{"alt": text}]}},
        {"embed": {"$type": "app.bsky.embed.video", "alt": text}},
        {"tags": [text]},
    ):
        assert made.block(post) is blocked, post


def test_without_rules_nothing_is_blocked():
    assert not rules().block({**link("https://spam.example"), "text": "crypto"})


KEYS = (
    "text", "facets", "features", "$type", "uri", "tag", "tags", "embed", "media", "external", "images", "items", "alt",
    "title",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["https://[", "http://@:"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(KEYS),
        inner | st.sampled_from(["app.bsky.embed.recordWithMedia", "app.bsky.richtext.facet#link"]),
        max_size=6,
    ),
    max_leaves=30,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["text", "facets", "tags", "embed"]), JSON))
@settings(max_examples=300, deadline=None)
def test_no_record_raises(record: dict[str, Any]):
    rules("block domain a.example", "block hashtag b", "block word c").block(record)


def line(text: str, number: int) -> bytes:
    record = {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-05-25T14:23:28.778Z"}
    body = {
        "rev": "3mmoojp7etg2g", "operation": "create", "collection": "app.bsky.feed.post",
        "rkey": f"3mmoojp7etg2{number}", "record": record, "cid": "b",
    }  # fmt: skip
    return json.dumps(
        {"did": plc_did(3), "time_us": 1_779_719_009_000_000, "kind": "commit", "commit": body}
    ).encode()


def payload(text: str, number: int) -> bytes:
    commit = json.loads(line(text, number))["commit"]
    kind = "network.bsky.jetstream.subscribeEvents#commit"
    said = {"$type": kind, "seq": 7, "did": plc_did(3), "time": "2026-05-25T14:23:29.000Z", **commit}
    return json.dumps({"$type": "message", "payload": said}).encode()


def decoded(current: WatchedRules, text: str) -> int:
    batch = EventBatch(blocks=current.check())
    jetstream.decode([line(text, 3)], batch)
    return batch.posts[0].flags & PostFlag.BLOCKED


def test_a_change_of_the_file_counts_from_the_next_post_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(watched_rules, "LOOK_SECONDS", 0.0)
    current = WatchedRules(tmp_path)
    assert not decoded(current, "crypto")
    add(tmp_path, [Rule(BLOCK, "word", "crypto")])
    assert decoded(current, "crypto")
    path = places.rules(tmp_path)
    path.write_text(path.read_text() + "block wort x\n")
    assert decoded(current, "crypto"), "a wrong file changes nothing"
    assert not decoded(current, "x")
    assert sum("rules.txt, line" in record.message for record in caplog.records) == 1
    with pytest.raises(RulesError):
        WatchedRules(tmp_path)
    os.unlink(path)
    assert not decoded(current, "crypto")


def test_every_wire_reads_posts_whole_while_rules_are_about_texts():
    """Without such rules the types skip what a post says."""
    check = check_of([Rule(BLOCK, "word", "crypto")])
    assert check_of([Rule(BLOCK, "account", plc_did(3)), Rule(ALLOW, "domain", "a.example")]) is None
    for decode, message in (
        (jetstream.decode, line("crypto", 3)),
        (jetstream_v2.decode, payload("crypto", 3)),
    ):
        for blocks, flags in ((check, PostFlag.BLOCKED), (None, 0)):
            batch = EventBatch(blocks=blocks)
            decode([message], batch)
            assert [post.flags for post in batch.posts] == [flags]
            assert batch.counts["event", "blocked_post"] == bool(flags)


def test_a_file_of_lines_is_read_by_the_same_rules(tmp_path: Path):
    command.run(settings_for(tmp_path), BLOCK, ["crypto"], remove=False, note="")
    command.run(settings_for(tmp_path), ALLOW, [plc_did(8)], remove=False, note="")
    lines = tmp_path / "lines"
    lines.write_bytes(b"\n".join((line("crypto", 3), line("cats", 4))))
    file_of_lines.run(tmp_path, str(lines))
    with sqlite3.connect(places.landing(tmp_path)) as landing:
        flags = [flags for (flags,) in landing.execute("SELECT flags FROM posts ORDER BY rkey")]
    assert flags == [PostFlag.BLOCKED, 0]
