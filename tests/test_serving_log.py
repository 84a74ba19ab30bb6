"""What is said of requests: numbers, log lines, figures; and whose word is taken for a client's address."""

import logging
import re
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon.testing import TestClient, create_environ
from serving_worlds import (
    FEED,
    INTERACTIONS,
    ON_PAGES,
    SKELETON,
    START,
    Account,
    Clock,
    OneAccount,
    ServingStore,
    bearer,
    blob,
    config_of,
    plc_did,
)

from serving.app import create_app
from serving.http import request_log
from serving.http.clients import client_address, is_trusted
from serving.log_throttle import Tally

LOCAL = {"host": "localhost", "remote_addr": "127.0.0.1", "extras": ON_PAGES}


def _client(folder: Path, **changes: Any) -> tuple[TestClient, Account]:
    account = Account(plc_did(1))
    app = create_app(config_of(folder, **changes), now=Clock(), resolver=OneAccount(account))
    return TestClient(app), account


@pytest.mark.parametrize(
    ("peer", "proxies", "forwarded", "client"),
    [
        ("203.0.113.9", (), "198.51.100.1", "203.0.113.9"),
        ("203.0.113.9", ("100.64.0.1/32",), "198.51.100.1", "203.0.113.9"),
        ("100.64.0.1", ("100.64.0.1/32",), "198.51.100.1", "198.51.100.1"),
        ("100.64.0.1", ("100.64.0.1/32",), "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("100.64.0.1", ("100.64.0.0/10",), "198.51.100.1, 100.64.0.7", "198.51.100.1"),
        ("100.64.0.1", ("100.64.0.1/32",), None, "100.64.0.1"),
        ("100.64.0.1", ("100.64.0.1/32",), "198.51.100.1, evil\r\nx", "100.64.0.1"),
        ("::1", ("::1/128",), "2001:db8::5", "2001:db8::5"),
    ],
)
def test_forwarding_headers_are_believed_from_configured_proxies_alone(
    peer: str, proxies: tuple[str, ...], forwarded: str | None, client: str
) -> None:
    environ = create_environ(remote_addr=peer)
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert client_address(falcon.Request(environ), proxies) == client
    assert not is_trusted("no address", ("0.0.0.0/0",))


def test_no_token_and_no_line_of_a_clients_own_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client, account = _client(tmp_path, access_log="all")
    good, bad = account.token(), account.token(aud="did:web:other.example.com")
    for token in (good, bad, "rubbish." + good):
        client.simulate_get(
            SKELETON, params={"feed": FEED, "token": token}, headers=bearer(token), remote_addr="127.0.0.1"
        )
    client.simulate_get("/x\nforged line", headers=bearer(good), remote_addr="127.0.0.1")
    client.simulate_post(INTERACTIONS, body=good, headers=bearer(good), remote_addr="127.0.0.1")
    lines = [record.getMessage() for record in caplog.records if record.name == "foryou.access"]
    assert len(lines) == 5
    form = re.compile(r"[0-9a-f]{16} 127\.0\.0\.1 (GET|POST) /[!-~]* \d{3} \d+\.\d ms \d+ bytes")
    assert all(form.fullmatch(line) for line in lines)
    everything = caplog.text + "".join(map(repr, (record.args for record in caplog.records)))
    for token in (good, bad):
        assert not any(part in everything for part in token.split("."))
    assert account.did not in everything


def test_problems_alone_are_logged_unless_all_are_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for level, lines in (("off", 0), ("problems", 1), ("all", 2)):
        client, _ = _client(tmp_path / level, access_log=level)
        caplog.clear()
        client.simulate_get("/robots.txt")
        client.simulate_get("/health")  # 503: there is no store
        assert sum(record.name == "foryou.access" for record in caplog.records) == lines


def test_of_many_failures_the_first_has_a_line_and_the_others_a_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    monkeypatch.setattr(request_log, "Tally", lambda seconds: Tally(seconds, clock))
    client, _ = _client(tmp_path, access_log="problems")

    def lines(requests: int) -> list[str]:
        caplog.clear()
        for _ in range(requests):
            assert client.simulate_get("/health").status_code == 503  # there is no store
        return [record.getMessage() for record in caplog.records if record.name == "foryou.access"]

    (first,) = lines(50)
    assert " GET /health 503 " in first
    clock.at += 59
    assert lines(10) == []
    clock.at += 1
    count, again = lines(3)
    assert count == "503: 59 more answers since the last line"
    assert " GET /health 503 " in again
    clock.at += 60
    caplog.clear()
    client.simulate_get("/robots.txt")  # any answer brings the count
    client.simulate_get("/robots.txt")
    assert [record.getMessage() for record in caplog.records if record.name == "foryou.access"] == [
        "503: 2 more answers since the last line"
    ]
    assert len(lines(1)) == 1


def test_a_request_has_a_number_the_proxys_if_it_is_trusted(tmp_path: Path) -> None:
    given = {"X-Request-Id": "proxy-7"}
    client, _ = _client(tmp_path)
    own = client.simulate_get("/robots.txt", headers=given).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", own)
    client, _ = _client(tmp_path, trusted_proxies=("127.0.0.1/32",))
    assert (
        client.simulate_get("/robots.txt", headers=given, remote_addr="127.0.0.1").headers["x-request-id"]
        == "proxy-7"
    )
    for odd in ("a b", "x" * 65, ""):
        assert (
            client.simulate_get("/robots.txt", headers={"X-Request-Id": odd}).headers["x-request-id"] != odd
        )


def test_the_figures_count_answers_and_are_for_this_machine(tmp_path: Path) -> None:
    client, account = _client(tmp_path)
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts([1])
    store.publish(1, {account.did: blob([1])}, at=START)
    store.close()
    for _ in range(3):
        client.simulate_get(SKELETON, params={"feed": FEED}, headers=bearer(account.token()))
    client.simulate_get("/no/such/" + "x" * 500)
    text = client.simulate_get("/metrics", **LOCAL).text
    assert f'foryou_requests_total{{address="{SKELETON}",status="200"}} 3.0' in text
    assert 'foryou_requests_total{address="other",status="404"} 1.0' in text
    assert "foryou_request_seconds_bucket" in text and "xxx" not in text and "did:" not in text
    for away in ({"remote_addr": "203.0.113.9"}, {"headers": {"X-Forwarded-For": "127.0.0.1"}}):
        assert client.simulate_get("/metrics", **(LOCAL | away)).status_code == 404


def test_this_machine_by_the_address_it_listens_on_is_this_machine(tmp_path: Path) -> None:
    client, _ = _client(tmp_path, pages_listen=("100.64.0.2", 8080))
    for remote, host, status in (
        ("100.64.0.2", "100.64.0.2", 200),
        ("100.64.0.3", "100.64.0.2", 404),
        ("100.64.0.2", "feed.example.com", 404),
    ):
        assert (
            client.simulate_get("/metrics", host=host, remote_addr=remote, extras=ON_PAGES).status_code
            == status
        )
