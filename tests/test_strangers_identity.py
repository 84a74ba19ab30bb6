"""Strangers' tokens, names and keys hold up neither those who are known nor the directory."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from serving_worlds import (
    Account,
    Clock,
    Directory,
    directory,
    plc_did,
    wait_until,
)

from serving.budgets import limits, takers
from serving.budgets.limits import ByClass
from serving.identity import key_store
from serving.identity.dids import HttpTarget, is_signer, plc_target
from serving.identity.fetch import Fetcher, FetchError
from serving.identity.handles import HandleError, Handles
from serving.identity.keys import signing_key
from serving.identity.lookup_slots import QuestionBudget, Slots
from serving.identity.resolver import DidBusyError, DidUnknownError, KeySource, Resolver

ALICE = plc_did(1)


def _resolver(
    plc: Directory, clock: Clock, known: set[str], budget: QuestionBudget | None = None
) -> Resolver:
    def source(trusted: bool, target: Callable[[str], HttpTarget]) -> KeySource:
        fetcher = Fetcher(allowed=lambda _: True, deadline_seconds=2.0, domain_lookups=None)
        return KeySource(target, fetcher, Slots(ByClass(6, 4)), ByClass(3, 3), trusted)

    return Resolver(
        {
            "plc": source(True, lambda did: plc_target(plc.url, did)),
            "web": source(False, lambda did: HttpTarget("http", "127.0.0.1", plc.port, f"/{did}")),
        },
        now=clock,
        is_known=known.__contains__,
        budget=budget,
    )


def test_forged_tokens_do_not_keep_a_rotated_key_from_being_read() -> None:
    """Sixty a minute kept any rotated key from being read for an hour."""
    clock = Clock(at=1_790_000_040.0)
    with directory() as plc:
        strangers = [Account(plc_did(number)) for number in range(100, 103)]
        alice = Account(ALICE)
        plc.publish(alice, *strangers)
        resolver = _resolver(plc, clock, {ALICE}, QuestionBudget(clock, same=ByClass(5, 2)))
        for account in (alice, *strangers):
            resolver.signing_key(account.did)
        clock.at += 60
        for account in strangers:
            assert resolver.refreshed_key(account.did) is None  # forged: nothing has changed
        alice.rotate()
        plc.publish(alice)
        assert resolver.refreshed_key(ALICE) is not None
        requests = len(plc.requests)
        assert requests == 4 + 2 + 1  # the third stranger was not asked about


def test_keys_that_changed_are_not_charged() -> None:
    clock = Clock(at=1_790_000_040.0)
    with directory() as plc:
        accounts = [Account(plc_did(number)) for number in range(100, 103)]
        plc.publish(*accounts)
        resolver = _resolver(plc, clock, set(), QuestionBudget(clock, same=ByClass(1, 1)))
        for account in accounts:
            resolver.signing_key(account.did)
        clock.at += 60
        for account in accounts:
            account.rotate()
        plc.publish(*accounts)
        assert all(resolver.refreshed_key(account.did) is not None for account in accounts)


def test_invented_dids_have_a_bucket_of_their_own() -> None:
    """Each forged token with a new DID was a request to the directory."""
    clock = Clock(at=1_790_000_040.0)
    with directory() as plc:
        alice, newcomer = Account(ALICE), Account(plc_did(50))
        plc.publish(alice, newcomer)
        resolver = _resolver(plc, clock, {ALICE}, QuestionBudget(clock, absent=10))
        refused = 0
        for number in range(100, 200):
            try:
                resolver.signing_key(plc_did(number))
            except DidBusyError:
                refused += 1
            except DidUnknownError:
                pass
        assert (len(plc.requests), refused) == (11, 89)  # and one that trickles
        resolver.signing_key(ALICE)
        clock.at += 60
        resolver.signing_key(newcomer.did)


def test_strangers_hold_a_part_of_the_slots_and_of_the_keys() -> None:
    clock, gate = Clock(), threading.Event()
    with directory() as plc:
        alice = Account(ALICE)
        strangers = [Account(plc_did(number)) for number in range(100, 120)]
        plc.publish(alice, *strangers)
        resolver = _resolver(plc, clock, {ALICE})
        plc.before = lambda _write: not (gate.wait(120) or True)
        outcomes: list[str] = []

        def look_up(did: str) -> None:
            try:
                resolver.signing_key(did)
                outcomes.append("key")
            except DidBusyError:
                outcomes.append("busy")

        threads = [threading.Thread(target=look_up, args=(account.did,)) for account in strangers]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: outcomes.count("busy") == 16)
        known = threading.Thread(target=look_up, args=(ALICE,))
        known.start()
        assert wait_until(lambda: len(plc.requests) == 5)
        gate.set()
        for thread in (*threads, known):
            thread.join(120)
        assert outcomes.count("key") == 5
        for account in strangers:
            resolver.signing_key(account.did)
        resolver.signing_key(ALICE)
        assert plc.requests.count(f"/{ALICE}") == 1  # no stranger's key pushed hers out


def test_a_dead_name_server_holds_its_own_domains_lookups_only() -> None:
    """One held all sixteen threads: a request gave its slot back when it gave up, the lookup went on."""
    gate = threading.Event()
    under_way: list[str] = []

    def lookup(host: str, _port: int) -> list[str]:
        if host.endswith("dead.example"):
            under_way.append(host)
            gate.wait(120)
            return []
        return ["127.0.0.1"]

    with directory() as host:
        host.answers["/x"] = (200, b"ok")
        fetcher = Fetcher(allowed=lambda _: True, lookup=lookup)
        for number in range(40):
            with pytest.raises(FetchError):
                fetcher.get(HttpTarget("http", f"n{number}.dead.example", host.port, "/x"), seconds=0.1)
        assert len(under_way) == limits.DOMAIN_LOOKUPS
        alive = HttpTarget("http", "alive.example", host.port, "/x")
        assert fetcher.get(alive, seconds=120.0).body == b"ok"
        gate.set()
        assert wait_until(lambda: not fetcher.domain_lookups or not fetcher.domain_lookups._held)


def test_strangers_leave_name_lookups_for_the_known() -> None:
    gate = threading.Event()

    def lookup(host: str, _port: int) -> list[str]:
        if "dead" in host:
            gate.wait(120)
            return []
        return ["127.0.0.1"]

    with directory() as host:
        host.answers["/x"] = (200, b"ok")
        fetcher = Fetcher(allowed=lambda _: True, lookup=lookup)
        for number in range(30):  # many domains, each with a dead name server
            with pytest.raises(FetchError):
                fetcher.get(HttpTarget("http", f"a.dead{number}.example", host.port, "/x"), seconds=0.05)
        target = HttpTarget("http", "alice.example", host.port, "/x")
        with pytest.raises(FetchError, match="too many"):
            fetcher.get(target)
        assert fetcher.get(target, known=True, seconds=120.0).body == b"ok"
        gate.set()


def test_stored_keys_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "PRUNE_EVERY", 3)
    monkeypatch.setattr(key_store, "KEYS_KEPT", 5)
    keys = key_store.KeyStore(tmp_path / "keys.sqlite", 1e9)
    key = signing_key(Account(ALICE).document(), ALICE)
    for number in range(20):
        keys.keep(plc_did(number), key, 1000.0 + number)
    left = [number for number in range(20) if keys.key_of(plc_did(number))]
    assert left[-5:] == [15, 16, 17, 18, 19]
    assert len(left) <= 9


@pytest.mark.parametrize(
    "did",
    [
        "did:plc:" + "a" * 25,
        "did:web:" + "a." * 126 + "example",
        "did:key:" + "z" * 40,
    ],
)
def test_a_did_that_its_method_does_not_allow_is_nobody(did: str) -> None:
    assert not is_signer(did, loopback=True)
    with pytest.raises(HandleError, match="neither a handle"):
        Handles("http://127.0.0.1:9").did_of(did)


def test_a_remembered_failure_holds_no_request() -> None:
    """The error was raised itself, time and again, and kept every request's stack: 1 MB a second of forged tokens."""
    with directory() as plc:
        resolver = _resolver(plc, Clock(), set())
        for _ in range(3):
            with pytest.raises(DidUnknownError):
                resolver.signing_key(plc_did(100))
        [failure] = resolver._failures.values()
        assert failure.error.__traceback__ is None


def test_no_request_reads_the_list_of_suffixes() -> None:
    """It takes a tenth of a second."""
    takers._suffixes.cache_clear()
    with directory() as plc:
        _resolver(plc, Clock(), set()).open()
    assert takers._suffixes.cache_info().currsize == 1
