"""Keys are fetched once, believed for a time, and never for longer than a day."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from serving_worlds import Account, Clock, Directory, base58btc, directory, plc_did, wait_until

from serving.budgets.limits import ByClass
from serving.identity.dids import HttpTarget, plc_target
from serving.identity.fetch import Fetcher
from serving.identity.key_store import KeyStore
from serving.identity.keys import KeyDocumentError, SigningKey, signing_key
from serving.identity.lookup_slots import QuestionBudget, Slots
from serving.identity.resolver import DidUnknownError, DidUnreachableError, KeySource, Resolver


@pytest.fixture
def plc() -> Iterator[Directory]:
    with directory() as held:
        yield held


def _resolver(
    plc: Directory,
    clock: Clock,
    *,
    slots: int = 4,
    keys_max: int = 100,
    store: KeyStore | None = None,
    same_keys: int = 60,
    seconds: float = 120.0,
) -> Resolver:
    def source(trusted: bool, target: Callable[[str], HttpTarget]) -> KeySource:
        fetcher = Fetcher(allowed=lambda _: True, deadline_seconds=seconds)
        both = ByClass(keys_max, keys_max)
        return KeySource(target, fetcher, Slots(ByClass(slots, slots)), both, trusted, store)

    return Resolver(
        {
            "plc": source(True, lambda did: plc_target(plc.url, did)),
            "web": source(False, lambda did: HttpTarget("http", "127.0.0.1", plc.port, f"/{did}")),
        },
        now=clock,
        budget=QuestionBudget(clock, same=ByClass(same_keys, same_keys)),
    )


@pytest.mark.parametrize("algorithm", ["ES256K", "ES256"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_key_verifies_what_its_owner_signed(plc: Directory, algorithm: str, legacy: bool) -> None:
    account = Account(plc_did(1), algorithm)
    plc.publish(account, legacy=legacy)
    key = _resolver(plc, Clock()).signing_key(account.did)
    assert key.algorithm == algorithm
    assert key.verifies(account.sign(b"words"), b"words")
    assert key.verifies(account.sign(b"words", high_s=True), b"words")
    assert not key.verifies(account.sign(b"words"), b"other words")


def test_a_key_is_fetched_once_an_hour(plc: Directory) -> None:
    clock, account = Clock(), Account(plc_did(1))
    plc.publish(account)
    resolver = _resolver(plc, clock)
    for seconds, fetches in ((0, 1), (3599, 1), (2, 2), (3599, 2)):
        clock.at += seconds
        resolver.signing_key(account.did)
        assert len(plc.requests) == fetches


def test_a_stale_key_is_used_while_the_directory_is_down_but_no_longer_than_a_day(plc: Directory) -> None:
    clock, account = Clock(), Account(plc_did(1))
    plc.publish(account)
    resolver = _resolver(plc, clock)
    key = resolver.signing_key(account.did)
    plc.answers[f"/{account.did}"] = (503, b"")
    clock.at += 3601
    assert resolver.signing_key(account.did) == key
    assert resolver.signing_key(account.did) == key
    assert len(plc.requests) == 2  # not asked again at once
    clock.at += 20 * 3600
    assert resolver.signing_key(account.did) == key
    clock.at += 4 * 3600
    with pytest.raises(DidUnreachableError):
        resolver.signing_key(account.did)


def test_a_tombstone_ends_a_key_at_the_next_refresh(plc: Directory) -> None:
    clock, account = Clock(), Account(plc_did(1))
    plc.publish(account)
    resolver = _resolver(plc, clock)
    resolver.signing_key(account.did)
    del plc.answers[f"/{account.did}"]
    clock.at += 3601
    for _ in range(2):
        with pytest.raises(DidUnknownError):
            resolver.signing_key(account.did)
    assert len(plc.requests) == 2
    plc.answers[f"/{account.did}"] = (503, b"")  # the old key must not come back while the directory is down
    clock.at += 61
    with pytest.raises(DidUnreachableError):
        resolver.signing_key(account.did)


def test_an_unknown_did_is_remembered_for_a_minute(plc: Directory) -> None:
    clock, account = Clock(), Account(plc_did(1))
    resolver = _resolver(plc, clock)
    for _ in range(3):
        with pytest.raises(DidUnknownError):
            resolver.signing_key(account.did)
    assert len(plc.requests) == 1
    plc.publish(account)
    clock.at += 61
    resolver.signing_key(account.did)


def test_a_failing_directory_is_tried_again_soon(plc: Directory) -> None:
    clock, account = Clock(), Account(plc_did(1))
    resolver = _resolver(plc, clock)
    for status, body in ((429, b""), (500, b""), (302, b""), (200, b"<html>welcome to the hotel</html>")):
        plc.answers[f"/{account.did}"] = (status, body)
        with pytest.raises(DidUnreachableError):
            resolver.signing_key(account.did)
        clock.at += 2
    plc.publish(account)
    resolver.signing_key(account.did)


def test_rubbish_from_a_host_of_somebodys_own_is_no_did(plc: Directory) -> None:
    resolver = _resolver(plc, Clock())
    for number, answer in enumerate([(302, b""), (200, b"<html>"), (404, b"")]):
        did = f"did:web:host{number}.example.com"
        plc.answers[f"/{did}"] = answer
        with pytest.raises(DidUnknownError):
            resolver.signing_key(did)


def test_those_who_ask_at_once_share_one_fetch(plc: Directory) -> None:
    account = Account(plc_did(1))
    plc.publish(account)
    gate = threading.Event()
    plc.before = lambda _write: not gate.wait(120)
    resolver = _resolver(plc, Clock(), slots=8)
    keys: list[SigningKey] = []
    threads = [
        threading.Thread(target=lambda: keys.append(resolver.signing_key(account.did))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(plc.requests) == 1)
    time.sleep(0.1)
    gate.set()
    for thread in threads:
        thread.join(120)
    assert len(keys) == 8
    assert len(plc.requests) == 1


def test_who_finds_no_slot_is_refused_at_once(plc: Directory) -> None:
    accounts = [Account(plc_did(number)) for number in range(4)]
    plc.publish(*accounts)
    resolver = _resolver(plc, Clock(), slots=2)
    resolver.signing_key(accounts[3].did)
    gate = threading.Event()
    plc.before = lambda _write: not gate.wait(120)
    threads = [threading.Thread(target=resolver.signing_key, args=(accounts[n].did,)) for n in range(2)]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: len(plc.requests) == 3)
    with pytest.raises(DidUnreachableError, match="too many"):
        resolver.signing_key(accounts[2].did)
    resolver.signing_key(accounts[3].did)  # who is known waits for nobody
    assert all(thread.is_alive() for thread in threads)  # those who fetch wait still
    gate.set()
    for thread in threads:
        thread.join(120)
    resolver.signing_key(accounts[2].did)


def test_the_cache_keeps_the_latest_used(plc: Directory) -> None:
    accounts = [Account(plc_did(number)) for number in range(4)]
    plc.publish(*accounts)
    resolver = _resolver(plc, Clock(), keys_max=3)
    for number in (0, 1, 2, 0, 3, 0, 2, 3):
        resolver.signing_key(accounts[number].did)
    assert len(plc.requests) == 4
    resolver.signing_key(accounts[1].did)
    assert len(plc.requests) == 5


def test_invented_dids_push_no_key_out(plc: Directory) -> None:
    account = Account(plc_did(1))
    plc.publish(account)
    resolver = _resolver(plc, Clock(), keys_max=2)
    resolver.signing_key(account.did)
    for number in range(100, 120):
        with pytest.raises(DidUnknownError):
            resolver.signing_key(plc_did(number))
    requests = len(plc.requests)
    resolver.signing_key(account.did)
    assert len(plc.requests) == requests


def test_forced_refreshes_are_bounded_for_each_did_and_in_all(plc: Directory) -> None:
    clock = Clock(at=1_790_000_040.0)
    accounts = [Account(plc_did(number)) for number in range(6)]
    plc.publish(*accounts)
    resolver = _resolver(plc, clock, same_keys=3)
    for account in accounts:
        resolver.signing_key(account.did)
    assert resolver.refreshed_key(accounts[0].did) is None
    assert len(plc.requests) == 6  # fetched a moment ago
    clock.at += 60
    for account in accounts:
        for _ in range(3):
            assert resolver.refreshed_key(account.did) is None
    assert len(plc.requests) == 9
    accounts[4].rotate()
    plc.publish(accounts[4])
    clock.at += 60
    assert resolver.refreshed_key(accounts[4].did) == resolver.signing_key(accounts[4].did)


def test_a_restart_needs_no_directory(plc: Directory, tmp_path: Path) -> None:
    clock, accounts = Clock(), [Account(plc_did(1)), Account(plc_did(2), "ES256")]
    plc.publish(*accounts)

    def started() -> Resolver:
        return _resolver(plc, clock, store=KeyStore(tmp_path / "data" / "keys.sqlite", 24 * 3600))

    keys = [started().signing_key(account.did) for account in accounts]
    requests = len(plc.requests)
    assert [started().signing_key(account.did) for account in accounts] == keys
    assert len(plc.requests) == requests
    clock.at += 3601  # an old key is refreshed, after a restart too
    assert started().signing_key(accounts[0].did) == keys[0]
    assert len(plc.requests) == requests + 1
    plc.answers.clear()
    clock.at += 3601
    with pytest.raises(DidUnknownError):
        started().signing_key(accounts[0].did)
    with pytest.raises(DidUnknownError):  # a tombstone is forgotten on disk, too
        started().signing_key(accounts[0].did)
    assert KeyStore(tmp_path / "data" / "keys.sqlite", 24 * 3600).key_of(accounts[0].did) is None
    clock.at += 24 * 3600
    with pytest.raises(DidUnknownError):
        started().signing_key(accounts[1].did)


def test_keys_pushed_out_of_memory_are_still_stored(plc: Directory, tmp_path: Path) -> None:
    accounts = [Account(plc_did(number)) for number in range(5)]
    plc.publish(*accounts)
    resolver = _resolver(plc, Clock(), keys_max=2, store=KeyStore(tmp_path / "keys.sqlite", 24 * 3600))
    for _ in range(3):
        for account in accounts:
            resolver.signing_key(account.did)
    assert len(plc.requests) == 5


def test_a_key_file_that_can_not_be_used_fails_no_request(
    plc: Directory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    account = Account(plc_did(1))
    plc.publish(account)
    rubbish = tmp_path / "rubbish.sqlite"
    rubbish.write_bytes(b"no database at all " * 100)
    (tmp_path / "folder.sqlite").mkdir()
    for name in ("rubbish", "folder"):
        keys = KeyStore(tmp_path / f"{name}.sqlite", 24 * 3600)
        resolver = _resolver(plc, Clock(), store=keys)
        assert resolver.signing_key(account.did) == resolver.signing_key(account.did)
        assert resolver.refreshed_key(account.did) is None
        keys.forget(account.did)
    assert len([record for record in caplog.records if "key_store" in record.name]) == 2


def test_old_keys_are_removed_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.identity.key_store.PRUNE_EVERY", 3)
    keys = KeyStore(tmp_path / "keys.sqlite", 100)
    key = signing_key(Account(plc_did(1)).document(), plc_did(1))
    for number in range(20):
        keys.keep(plc_did(number), key, 1000.0 + 50 * number)
    alive = [number for number in range(20) if keys.key_of(plc_did(number))]
    assert alive[-1] == 19
    assert len(alive) <= 6
    assert keys.key_of(plc_did(19)) == (key, 1950.0)


def _method(**changes: Any) -> dict[str, Any]:
    method = dict(Account(plc_did(1)).document()["verificationMethod"][0])
    return {name: value for name, value in (method | changes).items() if value is not ...}


def _p256_point_as_k256() -> str:
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    raw = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return "z" + base58btc(b"\xe7\x01" + b"\x05" + raw[1:])


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {},
        {"id": plc_did(2), "verificationMethod": [_method()]},
        {"id": plc_did(1)},
        {"id": plc_did(1), "verificationMethod": None},
        {"id": plc_did(1), "verificationMethod": {}},
        {"id": plc_did(1), "verificationMethod": [None, 1, []]},
        {"id": plc_did(1), "verificationMethod": [_method(id="#other")]},
        {"id": plc_did(1), "verificationMethod": [_method(id=f"{plc_did(2)}#atproto")]},
        {"id": plc_did(1), "verificationMethod": [_method(id=["#atproto"])]},
        {"id": plc_did(1), "verificationMethod": [_method(type=...)]},
        {"id": plc_did(1), "verificationMethod": [_method(type="Ed25519VerificationKey2020")]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase=...)]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase=7)]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase="")]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase="z")]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase="z0OIl")]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase="m" + "A" * 40)]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase="z" + "2" * 5000)]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase="z" + "2" * 48)]},
        {"id": plc_did(1), "verificationMethod": [_method(publicKeyMultibase=_p256_point_as_k256())]},
    ],
)
def test_a_document_without_a_usable_key_is_refused(document: object) -> None:
    with pytest.raises(KeyDocumentError):
        signing_key(document, plc_did(1))


def test_the_first_atproto_method_counts_and_a_short_id_will_do() -> None:
    account = Account(plc_did(1))
    document = account.document()
    document["verificationMethod"] = [
        _method(id="#labels"),
        document["verificationMethod"][0] | {"id": "#atproto"},
    ]
    document = json.loads(json.dumps(document))
    assert signing_key(document, account.did).verifies(account.sign(b"x"), b"x")
