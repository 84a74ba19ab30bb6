"""A DID chosen by an attacker leads to no address but public ones, and holds no thread for long."""

import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from serving_worlds import directory

from serving.identity import fetch, idle_connections
from serving.identity.dids import HttpTarget, is_signer, plc_target, web_target
from serving.identity.fetch import Fetcher, FetchError, FetchRefusedError
from serving.identity.idle_connections import IdleConnections
from serving.identity.public_addresses import is_public

REFUSED_ADDRESSES = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.100", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.5", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%1",
    "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "3fff::1",
    "100::1", "5f00::1", "localhost", "", "1", "0x7f.1", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "104.16.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254", "::1"], ["::ffff:10.0.0.1"], ["fe80::1"]]
)
def test_a_name_that_leads_inside_is_refused_before_connecting(addresses: list[str]) -> None:
    with directory() as inside:
        fetcher = Fetcher(allowed=is_public, lookup=lambda _host, _port: addresses)
        with pytest.raises(FetchRefusedError):
            fetcher.get(HttpTarget("http", "evil.example.com", inside.port, "/.well-known/did.json"))
        assert inside.requests == []


def test_the_checked_address_is_the_one_connected_to() -> None:
    # A second lookup would get another answer; there must be none.
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    checked: list[str] = []

    def allowed(address: str) -> bool:
        checked.append(address)
        return True

    with directory() as host:
        host.answers["/x"] = (200, b"{}")
        fetcher = Fetcher(allowed=allowed, lookup=lambda _host, _port: next(answers))
        assert fetcher.get(HttpTarget("http", "feed.example.com", host.port, "/x")).body == b"{}"
        assert host.hosts == [f"feed.example.com:{host.port}"]
        assert checked == ["127.0.0.1"]


def _loopback(seconds: float = 120.0) -> Fetcher:
    return Fetcher(
        allowed=lambda _address: True,
        lookup=lambda _host, _port: ["127.0.0.1"],
        deadline_seconds=seconds,
    )


def test_a_redirect_is_not_followed() -> None:
    with directory() as host, directory() as elsewhere:
        host.answers["/x"] = (302, b"")
        host.headers["Location"] = f"{elsewhere.url}/secret"
        assert _loopback().get(HttpTarget("http", "a.example.com", host.port, "/x")).status == 302
        assert elsewhere.requests == []


def test_no_proxy_variable_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    with directory() as host, directory() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        host.answers["/x"] = (200, b"1")
        assert _loopback().get(HttpTarget("http", "a.example.com", host.port, "/x")).body == b"1"
        assert proxy.requests == []


def _drip_body(write: Callable[[bytes], None]) -> bool:
    write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    for _ in range(2_400):
        write(b" ")
        time.sleep(0.05)
    return True


def _drip_headers(write: Callable[[bytes], None]) -> bool:
    write(b"HTTP/1.1 200 OK\r\n")
    for number in range(2_400):
        write(b"X-%d: 1\r\n" % number)
        time.sleep(0.05)
    return True


def _silence(_write: Callable[[bytes], None]) -> bool:
    time.sleep(120)  # in a thread that ends with the process
    return True


@pytest.mark.parametrize("behaviour", [_drip_body, _drip_headers, _silence])
def test_a_slow_host_is_left_at_the_deadline_of_the_whole_exchange(behaviour: Callable[..., bool]) -> None:
    with directory() as host:
        host.before = behaviour
        started = time.monotonic()
        with pytest.raises(FetchError):
            _loopback(0.4).get(HttpTarget("http", "slow.example.com", host.port, "/x"))
        assert time.monotonic() - started < 60


def _keeping(most: int = 2) -> Fetcher:
    fetcher = _loopback(120.0)
    fetcher.idle = IdleConnections(most)
    return fetcher


def test_connections_to_the_directory_stay_open_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with directory(keeps=True) as host:
        host.answers["/x"] = (200, b"{}")
        fetcher = _keeping()
        for _ in range(5):
            assert fetcher.get(HttpTarget("http", "a.example.com", host.port, "/x")).body == b"{}"
            assert fetcher.get(HttpTarget("http", "a.example.com", host.port, "/absent")).status == 404
        assert (len(host.requests), host.connections) == (10, 1)
        assert host.hosts[0] == f"a.example.com:{host.port}"
        monkeypatch.setattr(idle_connections, "IDLE_SECONDS", 0.0)
        assert fetcher.get(HttpTarget("http", "a.example.com", host.port, "/x")).body == b"{}"
        assert host.connections == 2


def test_an_idle_connection_that_the_host_closed_is_replaced() -> None:
    with directory() as closing:  # it closes after every answer, whatever is asked for
        closing.answers["/x"] = (200, b"{}")
        fetcher = _keeping()
        for _ in range(3):
            assert fetcher.get(HttpTarget("http", "a.example.com", closing.port, "/x")).body == b"{}"
    with directory(keeps=True) as host:
        host.answers["/x"] = (200, b"{}")
        target = HttpTarget("http", "a.example.com", host.port, "/x")
        fetcher.get(target)
        hung_up = []

        def hang_up(write: Callable[[bytes], None]) -> bool:
            hung_up.append(write)
            if len(hung_up) == 1:
                raise ConnectionResetError  # as a host does that closes just as we write
            return False

        host.before = hang_up
        assert fetcher.get(target).body == b"{}"
        assert len(hung_up) == 2


def test_an_idle_connection_has_the_same_deadline() -> None:
    with directory(keeps=True) as host:
        host.answers["/x"] = (200, b"{}")
        fetcher, target = _keeping(), HttpTarget("http", "a.example.com", host.port, "/x")
        fetcher.get(target)
        host.before = _silence
        started = time.monotonic()
        with pytest.raises(FetchError):
            fetcher.get(target, seconds=0.4)
        assert time.monotonic() - started < 60


def test_an_answer_of_another_time_is_checked_at_every_connection() -> None:
    """DNS that answers with a public address first and a private one later gains nothing, and the reverse neither."""
    answers = iter([["203.0.113.7"], ["127.0.0.1"], ["203.0.113.7", "127.0.0.1", "::1", "169.254.169.254"]])
    connected: list[str] = []

    def lookup(_host: str, _port: int) -> list[str]:
        found = next(answers)
        connected.append(found[0])
        return found

    with directory() as host:
        host.answers["/x"] = (200, b"secret")
        fetcher = Fetcher(allowed=is_public, lookup=lookup, deadline_seconds=0.5)
        for _ in range(3):
            with pytest.raises(FetchError):
                fetcher.get(HttpTarget("http", "rebound.example.com", host.port, "/x"))
        assert host.requests == []
        assert len(connected) == 3


def test_a_lookup_that_hangs_is_left_too() -> None:
    def lookup(_host: str, _port: int) -> list[str]:
        time.sleep(120)  # in a thread that ends with the process
        return ["127.0.0.1"]

    started = time.monotonic()
    with pytest.raises(FetchError):
        Fetcher(allowed=lambda _: True, lookup=lookup, deadline_seconds=0.2).get(
            HttpTarget("http", "a.example.com", 80, "/")
        )
    assert time.monotonic() - started < 60


def _endless(write: Callable[[bytes], None]) -> bool:
    write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(200):
        write(b" " * 65536)
    return True


def _endless_chunks(write: Callable[[bytes], None]) -> bool:
    write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        write(b"10000\r\n" + b" " * 65536 + b"\r\n")
    return True


def _long_header(write: Callable[[bytes], None]) -> bool:
    write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000)
    return True


def _many_headers(write: Callable[[bytes], None]) -> bool:
    write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X: " + b"x" * 50_000 + b"\r\n" for _ in range(20)))
    write(b"Content-Length: 2\r\n\r\n{}")
    return True


def _not_http(write: Callable[[bytes], None]) -> bool:
    write(b"SSH-2.0-OpenSSH\r\n")
    return True


@pytest.mark.parametrize("behaviour", [_endless, _endless_chunks, _long_header, _many_headers, _not_http])
def test_an_answer_without_bounds_is_refused(behaviour: Callable[..., bool]) -> None:
    with directory() as host:
        host.before = behaviour
        with pytest.raises(FetchError):
            _loopback().get(HttpTarget("http", "big.example.com", host.port, "/x"))


def test_a_declared_body_above_the_limit_is_refused_and_one_at_it_is_read() -> None:
    with directory() as host:
        host.answers["/big"] = (200, b" " * (fetch.MAX_BODY_BYTES + 1))
        host.answers["/full"] = (200, b" " * fetch.MAX_BODY_BYTES)
        with pytest.raises(FetchRefusedError):
            _loopback().get(HttpTarget("http", "a.example.com", host.port, "/big"))
        answer = _loopback().get(HttpTarget("http", "a.example.com", host.port, "/full"))
        assert len(answer.body) == fetch.MAX_BODY_BYTES


def _certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def test_https_checks_the_certificate_for_the_name(tmp_path: Path) -> None:
    path, serving = _certificate(tmp_path, "did.example.com")
    trusting = ssl.create_default_context(cafile=str(path))
    with directory(serving) as host:
        host.answers["/x"] = (200, json.dumps({"id": 1}).encode())

        def ask(name: str, tls: ssl.SSLContext | None) -> bytes:
            fetcher = Fetcher(
                allowed=lambda a: a == "127.0.0.1", lookup=lambda _host, _port: ["127.0.0.1"], tls=tls
            )
            return fetcher.get(HttpTarget("https", name, host.port, "/x")).body

        assert ask("did.example.com", trusting) == b'{"id": 1}'
        with pytest.raises(FetchError):
            ask("other.example.com", trusting)  # a certificate of another name
        with pytest.raises(FetchError):
            ask("did.example.com", None)  # an issuer this machine does not know


def test_where_documents_are() -> None:
    did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
    assert plc_target("https://plc.directory", did) == HttpTarget("https", "plc.directory", 443, f"/{did}")
    assert plc_target("http://127.0.0.1:2582/", did) == HttpTarget("http", "127.0.0.1", 2582, f"/{did}")
    assert web_target("did:web:a.example.com") == HttpTarget(
        "https", "a.example.com", 443, "/.well-known/did.json"
    )
    assert web_target("did:web:localhost%3A3000").port == 3000
    with pytest.raises(ValueError, match="not a did:web"):
        web_target("did:web:127.0.0.1")


@pytest.mark.parametrize(
    "did",
    ["did:web:a.b", "did:web:xn--bcher-kva.example", "did:web:a-b.c1.example", f"did:web:{'a' * 63}.example"],
)
def test_host_names_that_may_sign(did: str) -> None:
    assert is_signer(did)


@pytest.mark.parametrize(
    "did",
    [
        "did:web:A.example", "did:web:-a.example", "did:web:a-.example", "did:web:a..b", "did:web:a.example.",
        f"did:web:{'a' * 64}.example", "did:web:" + "a." * 130 + "example", "did:web:1.2.3.4", "did:web:a.1",
        "did:web:localhost%3A80", "did:web:a.example%2Fx", "did:web:a_b.example", "did:web:é.example",
        "did:web:a.example\n", "did:plc:", "did:example:x", "", None, 5,
    ],
)  # fmt: skip
def test_what_may_not_sign(did: object) -> None:
    assert not is_signer(did)


@pytest.mark.parametrize("port", ["0", "65536", "99999", "080", "", "8O"])
def test_ports_of_localhost(port: str) -> None:
    assert not is_signer(f"did:web:localhost%3A{port}", loopback=True)
    assert is_signer("did:web:localhost%3A8080", loopback=True)


def test_an_address_is_no_loopback_name() -> None:
    assert ipaddress.ip_address("127.0.0.1").is_loopback
    assert not is_signer("did:web:127.0.0.1%3A8080", loopback=True)
