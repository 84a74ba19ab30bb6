"""What labelers say: from their signed streams to pages without it, and back."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import libipld
import pytest
from coincurve import PrivateKey
from removal_tools import Town, running_town
from serving_worlds import Account, directory, plc_did
from streams import wait_until

from pipeline.errors import SettingError
from pipeline.identifiers import post_uri, tid_at
from pipeline.ingest.labels.label_frames import WantedLabels, decode
from pipeline.label_levels import levels_from
from pipeline.simulate.network import SimulatedNetwork
from pipeline.simulate.parameters import WorldParameters
from pipeline.simulate.server.labeler import Labeler
from pipeline.store import labels
from pipeline.store.events import EventBatch, Post
from pipeline.store.labels import ACCOUNT, PROFILE, LabelBatch, LabelStatement, LabelStore
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US
from serving.identity.keys import SigningKey, signing_key
from serving.identity.labelers import KEY, LabelerReader
from serving.lists.removed_posts import RemovedPosts
from sql import places
from sql.sqlite import connect

SECONDS = 60.0  # what a machine twenty times slower needs


@pytest.fixture(scope="module")
def network() -> Iterator[SimulatedNetwork]:
    with SimulatedNetwork(WorldParameters(users=50, days=0.2), speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, network: SimulatedNetwork) -> Iterator[Town]:
    """A town whose ingest follows the network's labeler."""
    labeler, viewer = network.labeler, Account(plc_did(1))
    with directory() as plc:
        plc.publish(viewer)
        plc.answers[f"/{labeler.did}"] = (200, json.dumps(labeler.document(network.plc_url)).encode())
        folder = tmp_path_factory.mktemp("town")
        with running_town(folder, viewer, plc.url, labelers=labeler.did) as running:
            yield running


def shows(town: Town, wanted: list[int], *, signed: bool = True) -> Callable[[], bool]:
    return lambda: town.page(signed=signed)[0] == town.uris(wanted)


def in_seconds(seconds: float) -> str:
    return (
        (datetime.now(UTC) + timedelta(seconds=seconds))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def test_a_label_reaches_pages_and_its_negation_too(town: Town, network: SimulatedNetwork):
    every, label = list(range(20)), network.labeler.label
    assert shows(town, every)()
    label(town.uri(3), "porn")
    rest = [number for number in every if number != 3]
    wait_until(shows(town, rest), SECONDS)
    label(town.uri(3), "porn", neg=True)
    wait_until(shows(town, every), SECONDS)
    for subject in (town.author(1), f"at://{town.author(1)}/app.bsky.actor.profile/self"):
        label(subject, "spam")
        wait_until(shows(town, [number for number in every if number % 5 != 1]), SECONDS)
        label(subject, "spam", neg=True)
        wait_until(shows(town, every), SECONDS)


def test_a_label_ends_when_it_expires(town: Town, network: SimulatedNetwork):
    rest = [number for number in range(20) if number != 7]
    network.labeler.label(town.uri(7), "!hide", exp=in_seconds(3600))
    wait_until(shows(town, rest), SECONDS)
    network.labeler.label(town.uri(7), "!hide", exp=in_seconds(2))
    wait_until(shows(town, list(range(20))), SECONDS)


def test_who_is_not_signed_in_sees_less(town: Town, network: SimulatedNetwork):
    every = list(range(20))
    network.labeler.label(town.author(2), "!no-unauthenticated")
    wait_until(shows(town, [number for number in every if number % 5 != 2], signed=False), SECONDS)
    assert shows(town, every)()
    network.labeler.label(town.author(2), "!no-unauthenticated", neg=True)
    wait_until(shows(town, every, signed=False), SECONDS)


def test_what_is_wrong_is_counted_and_holds_up_nothing(town: Town, network: SimulatedNetwork):
    labeler = network.labeler
    forged = {**labeler.signed(town.uri(4), "porn"), "uri": town.uri(5)}
    labeler.send([forged])
    labeler.send_raw(b"\xa0rubbish")
    labeler.send_raw(
        libipld.encode_dag_cbor({"op": 1, "t": "#labels"}) + libipld.encode_dag_cbor({"seq": "x"})
    )
    labeler.label(town.uri(6), "porn")
    wait_until(shows(town, [number for number in range(20) if number != 6]), SECONDS)
    labeler.label(town.uri(6), "porn", neg=True)
    wait_until(shows(town, list(range(20))), SECONDS)
    with closing(connect(places.landing(town.data_dir), read_only=True)) as landing:
        counted = dict(landing.execute("SELECT name, value FROM counters WHERE kind = 'drop'").fetchall())
    assert counted["label_bad_signature"] >= 1
    assert (counted["label_bad_frame"], counted["label_bad_seq"]) == (1, 1)


# Messages alone.

LABELER = "did:plc:" + "l" * 24
NOW_US = int(time.time() * 1e6)
RKEY = tid_at(NOW_US)
POST = post_uri(plc_did(5), RKEY)


class Signer:
    """A labeler's key, and how it signs."""

    did = LABELER

    def __init__(self) -> None:
        self.private = PrivateKey()
        self.key = SigningKey("ES256K", self.private.public_key.format())

    def label(
        self, uri: str = POST, val: str = "porn", sent: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        """Return a label; ``sent`` changes it after it was signed."""
        label = {"ver": 1, "src": self.did, "uri": uri, "val": val, "cts": in_seconds(0), **more}
        signature = self.private.sign_recoverable(libipld.encode_dag_cbor(label))[:64]
        return {**label, "sig": signature} | (sent or {})


def frame(seq: Any, labels: Any, **header: Any) -> bytes:
    return libipld.encode_dag_cbor({"op": 1, "t": "#labels"} | header) + libipld.encode_dag_cbor(
        {"seq": seq, "labels": labels}
    )


def decoded(frames: list[bytes], signer: Signer, after_seq: int = 0) -> LabelBatch:
    first, last = tid_at(NOW_US - 14 * DAY_US), tid_at(NOW_US + DAY_US)
    return decode(frames, WantedLabels(LABELER, signer.key.verifies, levels_from({}), first, last, after_seq))


def test_labels_are_read_whatever_they_are_on():
    signer, did = Signer(), plc_did(5)
    profile = f"at://{did}/app.bsky.actor.profile/self"
    expires = in_seconds(600)
    batch = decoded(
        [
            frame(7, [signer.label(), signer.label(did, "spam", exp=expires)]),
            frame(9, [signer.label(profile, "!warn"), signer.label(POST, "porn", neg=True)]),
            # Some labelers sign that a label is not negated and do not send it, or the other way round.
            frame(
                10,
                [signer.label(val="graphic-media", sent={"neg": False}), signer.label(val="gore", neg=False)],
            ),
        ],
        signer,
    )
    until_us = int(datetime.fromisoformat(expires).timestamp() * 1000) * 1000
    assert batch.statements == [
        LabelStatement(did, RKEY, "porn", 3, None),
        LabelStatement(did, ACCOUNT, "spam", 3, until_us),
        LabelStatement(did, PROFILE, "!warn", 2, None),
        LabelStatement(did, RKEY, "porn", 0, None),
        LabelStatement(did, RKEY, "graphic-media", 3, None),
        LabelStatement(did, RKEY, "gore", 3, None),
    ]
    assert (batch.first_seq, batch.seq, batch.reached, batch.messages) == (7, 10, 3, 3)
    assert batch.counts == Counter({("event", "label"): 5, ("event", "label_negated"): 1})


def test_in_one_message_the_time_of_a_label_decides():
    signer = Signer()
    later = signer.label(neg=True, cts="2026-01-02T00:00:00Z")
    earlier = signer.label(cts="2026-01-01T00:00:00Z")
    assert [word.level for word in decoded([frame(1, [later, earlier])], signer).statements] == [3, 0]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("malformed", {"val": 7}),
        ("malformed", {"uri": None}),
        ("malformed", {"neg": "yes"}),
        ("malformed", {"cts": "yesterday"}),
        ("malformed", {"exp": "tomorrow"}),
        ("of_another_labeler", {"src": plc_did(9)}),
        ("other_value", {"val": "no-such-value"}),
        ("other_subject", {"uri": f"at://{plc_did(5)}/app.bsky.graph.list/3kabcdefghijk"}),
        ("other_subject", {"uri": "at://someone.example/app.bsky.feed.post/3kabcdefghijk"}),
        ("other_subject", {"uri": "did:plc:" + "!" * 24}),
        ("of_old_post", {"uri": post_uri(plc_did(5), tid_at(NOW_US - 15 * DAY_US))}),
        ("of_future_post", {"uri": post_uri(plc_did(5), tid_at(NOW_US + 2 * DAY_US))}),
        ("unsigned", {"sig": None}),
        ("bad_signature", {"sig": b"x" * 64}),
        ("bad_signature", {"sig": b""}),
        ("bad_signature", {"uri": plc_did(6)}),
        ("bad_signature", {"neg": True}),
        ("bad_signature", {"exp": "2030-01-01T00:00:00Z"}),
        ("bad_signature", {"more": [1]}),
    ],
)
def test_a_label_that_does_not_count_has_a_reason(reason: str, change: dict[str, Any]):
    signer = Signer()
    batch = decoded([frame(1, [signer.label(sent=change), signer.label(val="spam")])], signer)
    assert batch.counts == Counter({("drop", f"label_{reason}"): 1, ("event", "label"): 1})
    assert [word.val for word in batch.statements] == ["spam"]


def test_a_negation_is_believed_of_its_signer_alone():
    signer = Signer()
    batch = decoded([frame(1, [Signer().label(neg=True)])], signer)
    assert not batch.statements
    assert batch.counts["drop", "label_bad_signature"] == 1


def test_frames_that_are_none_move_no_cursor():
    signer = Signer()
    frames = {
        b"": "bad_frame",
        b"\xa0": "bad_frame",
        libipld.encode_dag_cbor(1) * 2: "bad_frame",
        frame(0, []): "bad_seq",
        frame(True, []): "bad_seq",
        frame(1 << 63, []): "bad_seq",
        frame(5, [], t="#labelz"): "unknown_kind",
    }
    batch = decoded(list(frames), signer)
    assert (batch.seq, batch.messages, batch.reached) == (0, 7, 0)
    assert batch.counts == Counter(("drop", f"label_{reason}") for reason in frames.values())
    batch = decoded(
        [frame(5, {"no": "list"}), frame(6, [7]), frame(6, [signer.label()]), frame(4, [])], signer, 3
    )
    assert (batch.seq, batch.statements) == (6, [])
    assert batch.counts == Counter({("drop", "label_malformed"): 2, ("drop", "label_replayed"): 2})


def test_what_a_host_says_of_our_cursor():
    signer = Signer()
    outdated = frame(None, None, t="#info")
    info = libipld.encode_dag_cbor({"op": 1, "t": "#info"}) + libipld.encode_dag_cbor(
        {"name": "OutdatedCursor"}
    )
    future = libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": "FutureCursor"})
    assert not decoded([outdated], signer).outdated
    assert decoded([info], signer).outdated
    assert decoded([future], signer).cursor_is_void


# The store alone.


def store_of(
    folder: Path, table: dict[str, str] | None = None, dids: tuple[str, ...] = (LABELER,)
) -> LabelStore:
    return LabelStore(folder, levels_from(table or {}), dids)


def say(store: LabelStore, *statements: LabelStatement, seq: int, did: str = LABELER) -> LabelBatch:
    batch = LabelBatch(list(statements), seq=seq, first_seq=seq, reached=1, messages=1)
    store.append(did, batch)
    return batch


def on_post(
    val: str = "porn", level: int = 3, until_us: int | None = None, number: int = 0
) -> LabelStatement:
    return LabelStatement(plc_did(number), RKEY + number, val, level, until_us)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory whose stream has brought ten posts, each by an author with the actor number of its place."""
    landing = Landing(tmp_path)
    posts = [Post(plc_did(n), RKEY + n, NOW_US, NOW_US, 0, "en", RKEY + n) for n in range(10)]
    landing.append(EventBatch(posts=posts, newest_us=NOW_US, low_us=NOW_US), "host", "wire")
    landing.close()
    return tmp_path


def withheld(folder: Path) -> dict[int, int]:
    """Return by post what pages make of it."""
    with closing(connect(places.landing(folder), read_only=True)) as landing:
        keys = {tuple(row): row[1] - RKEY for row in landing.execute("SELECT author_id, rkey FROM posts")}
    found = RemovedPosts(places.removals(folder)).withheld_among(list(keys))
    return {keys[key]: level for key, level in found.items()}


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(places.landing(folder), read_only=True)) as landing:
        return landing.execute(query).fetchall()


def test_the_strongest_of_all_labels_counts_until_it_ends(folder: Path):
    other = plc_did(77)
    store = store_of(folder, dids=(LABELER, other))
    say(store, on_post("!warn", 2), on_post("porn"), seq=1)
    say(
        store,
        on_post("porn"),
        LabelStatement(plc_did(0), ACCOUNT, "!no-unauthenticated", 1, None),
        seq=1,
        did=other,
    )
    assert withheld(folder) == {0: 3}
    say(store, on_post("porn", 0), seq=2)
    assert withheld(folder) == {0: 3}, "another labeler says the same"
    say(store, on_post("porn", 0), seq=2, did=other)
    assert withheld(folder) == {0: 2}
    say(store, on_post("!warn", 0), seq=3)
    assert withheld(folder) == {0: 1}
    say(store, LabelStatement(plc_did(0), ACCOUNT, "!no-unauthenticated", 0, None), seq=3, did=other)
    assert withheld(folder) == {}
    assert rows(folder, "SELECT * FROM labels") == []
    assert (store.cursor(LABELER), store.cursor(other)) == (3, 3)
    store.close()


def test_an_account_can_be_labelled_before_anything_else_is_known_of_it(folder: Path):
    store = store_of(folder)
    say(
        store,
        LabelStatement(plc_did(50), ACCOUNT, "spam", 3, None),
        LabelStatement(plc_did(51), ACCOUNT, "spam", 0, None),
        seq=1,
    )
    store.close()
    landing = Landing(folder)
    posts = [Post(plc_did(n), RKEY + n, NOW_US, NOW_US, 0, "en", RKEY + n) for n in (50, 51)]
    landing.append(EventBatch(posts=posts), "host", "wire")
    landing.close()
    assert withheld(folder) == {50: 3}
    assert rows(folder, "SELECT labels, new_actors FROM labelers") == [(1, 1)]


def test_what_a_labeler_may_bring_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(labels, "LABELS_OF_ONE_MAX", 3)
    monkeypatch.setattr(labels, "NEW_ACTORS_MAX", 1)
    store = store_of(folder)
    strangers = [LabelStatement(plc_did(n), ACCOUNT, "spam", 3, None) for n in (60, 61)]
    batch = say(store, *strangers, seq=1)
    assert batch.counts["drop", "label_no_room"] == 1
    for seq in (2, 3, 4):  # said again, it is one label
        assert say(store, on_post(), seq=seq).counts.total() == 0
    batch = say(store, *(on_post(number=number) for number in range(1, 4)), seq=5)
    assert batch.counts["drop", "label_no_room"] == 2
    assert rows(folder, "SELECT count(*) FROM labels") == [(3,)]
    say(store, on_post(level=0), on_post(number=5), seq=6)
    assert rows(folder, "SELECT count(*) FROM labels") == [(3,)], "what ended makes room"
    store.close()


def test_labels_expire_and_those_of_old_posts_are_forgotten(folder: Path):
    store = store_of(folder)
    past, future = int(time.time() * 1e6) - 1, int((time.time() + 600) * 1e6)
    say(store, on_post(until_us=past), on_post("spam", 3, future, number=1), on_post("!warn", 2, None), seq=1)
    assert withheld(folder) == {0: 3, 1: 3}
    assert store.tidy() == 1
    assert withheld(folder) == {0: 2, 1: 3}
    store.close()
    landing = Landing(folder)
    landing.append(EventBatch(newest_us=NOW_US, low_us=NOW_US + 15 * DAY_US), "host", "wire")
    landing.close()
    store = store_of(folder)
    assert store.tidy() == 2
    assert rows(folder, "SELECT labels FROM labelers") == [(0,)]
    store.close()


def test_a_change_of_the_settings_is_adopted(folder: Path):
    store = store_of(folder)
    say(store, on_post("rude"), on_post("spam", number=1), on_post("porn", number=2), seq=4)
    store.close()
    store = store_of(folder, {"rude": "popular", "spam": "keep"})
    assert withheld(folder) == {0: 2, 2: 3}
    assert store.cursor(LABELER) == 4, "all values that count were read"
    store.close()
    store = store_of(folder, {"rude": "popular"})
    assert store.cursor(LABELER) == 0, "labels of spam were not stored"
    store.close()
    store_of(folder, dids=()).close()
    assert withheld(folder) == {}
    assert rows(folder, "SELECT * FROM labels") == rows(folder, "SELECT * FROM labelers") == []


def test_what_a_host_can_not_send_any_more_is_a_gap(folder: Path):
    store = store_of(folder)
    say(store, on_post(), seq=4)
    batch = LabelBatch(seq=12, first_seq=10, reached=2, messages=3, outdated=True)
    store.append(LABELER, batch)
    assert rows(folder, "SELECT after_seq, before_seq FROM label_gaps") == [(4, 10)]
    assert store.cursor(LABELER) == 12
    store.start_again(LABELER)
    assert store.cursor(LABELER) == 0
    store.close()


# The settings and the document.


def test_the_table_of_levels():
    assert levels_from({})["porn"] == 3
    assert (
        levels_from({"porn": "anonymous", "mine": "popular", "spam": "keep"}).items()
        >= {"porn": 1, "mine": 2}.items()
    )
    assert "spam" not in levels_from({"spam": "keep"})
    for wrong, said in (
        ({"porn": "everywere"}, "did you mean everywhere"),
        ({"Porn!": "keep"}, "small letters"),
    ):
        with pytest.raises(SettingError, match=said):
            levels_from(wrong)


def test_a_labeler_is_found_by_its_document(network: SimulatedNetwork):
    labeler: Labeler = network.labeler
    found = LabelerReader(network.plc_url).find(labeler.did)
    assert found.url == f"ws://127.0.0.1:{network.port}/xrpc/com.atproto.label.subscribeLabels"
    assert found.key == signing_key(labeler.document(""), labeler.did, KEY)
    person = network.world.people.dids[0]
    for did, reason in (
        (person, "no labeler service"),
        ("did:plc:" + "z" * 24, "there is none"),
        ("did:x:y", "neither"),
    ):
        found = LabelerReader(network.plc_url).find(did)
        assert (found.url, found.verifies(b"x" * 64, b"y")) == ("", False)
        assert reason in found.reason
