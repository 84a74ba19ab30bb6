"""foryou doctor on real parts: a web app, a stream, a PDS that is the directory too, TLS with a real certificate."""

import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import commands
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pds_server import PASSWORD, Pds, pds
from serving_worlds import Account, ServingStore, blob, plc_did
from streams import LineStream, free_port, wait_until

from pipeline.blocking.rule_file import RulesError
from pipeline.explore.box import landlock
from pipeline.lake.day_files import CHANGES, commit, draft_changes, write_draft
from pipeline.operate.doctor import feed_checks, machine_checks, network_checks
from pipeline.operate.doctor.findings import SkippedError, WrongError
from pipeline.operate.feed_record.service_check import OutsideError, http_client
from pipeline.settings import Settings, load_settings
from pipeline.store.landing import Landing
from sql import places
from sql.sqlite import connect

DAY = places.day_number("2026-11-01")
NAMES = [
    "settings", "data directory", "permissions", "disk", "stores", "lake", "rules", "analysts' SQL",
    "exchange", "nodes", "web app", "lists", "network", "PLC directory", "clock", "stream", "certificate",
    "did.json", "proxy", "labelers", "feed record", "signed fetch", "AppView",
]  # fmt: skip


@dataclass
class World:
    """An installation in which everything is in order, TLS aside."""

    pds: Pds
    data_dir: Path
    env: dict[str, str]

    def doctor(self, **settings: str) -> tuple[int, dict[str, dict[str, str]]]:
        """Run it; return the exit status and the findings by name."""
        changed = {f"FORYOU_{name.upper()}": value for name, value in settings.items()}
        result = commands.run("doctor", "--json", env=self.env | changed)
        found = {finding["check"]: finding for finding in json.loads(result.stdout)}
        assert (result.returncode == 1) == any(finding["state"] == "wrong" for finding in found.values())
        assert all(finding["advice"] for finding in found.values() if finding["state"] == "wrong")
        return result.returncode, found

    def wrong(self, check: str, **settings: str) -> str:
        """What it says of one check that should find something wrong."""
        finding = self.doctor(**settings)[1][check]
        assert finding["state"] == "wrong", finding
        return finding["seen"] + " -> " + finding["advice"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    data_dir, port = tmp_path / "data", free_port()
    hostname, did = f"127.0.0.1:{port}", f"did:web:127.0.0.1%3A{port}"
    store = ServingStore(data_dir / "serving.sqlite")
    store.posts(range(1, 41))
    store.publish(1, {}, {"": blob(range(1, 41))}, at=time.time())
    store.close()
    Landing(data_dir).close()
    commit(draft_changes(data_dir, DAY, CHANGES.empty_table()), places.changes_file(data_dir, DAY, 1))
    commit(
        write_draft(data_dir, "likes", lambda path: pq.write_table(pa.table({}), path)),
        places.likes(data_dir, DAY),
    )
    data_dir.chmod(0o700)
    event = {"did": plc_did(3), "time_us": time.time_ns() // 1000, "kind": "identity"}
    with pds(Account(plc_did(1))) as held, LineStream([json.dumps(event)]) as stream:
        held.records["for-you"] = {
            "$type": "app.bsky.feed.generator", "did": did, "displayName": "For You",
            "createdAt": "2026-01-01T00:00:00.000Z", "acceptsInteractions": True,
        }  # fmt: skip
        env = commands.environment(
            data_dir,
            hostname=hostname,
            listen=hostname,
            publisher_did=held.account.did,
            plc_url=held.url,
            stream_url=stream.url,
        )
        with commands.running("serve", env=env):
            wait_until(lambda: answers(hostname))
            yield World(held, data_dir, env)


def answers(hostname: str) -> bool:
    try:
        return httpx.get(f"http://{hostname}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_all_is_well(world: World) -> None:
    env = world.env | {"FORYOU_APP_PASSWORD": PASSWORD}
    text = commands.run("doctor", env=env)
    assert text.returncode == 0, text.stdout
    lines = text.stdout.splitlines()
    assert [line[8:24].strip() for line in lines] == NAMES
    assert [line[:8].strip() for line in lines] == [
        *["ok"] * 6, "skipped", "ok" if landlock.version() else "skipped", "skipped", "skipped", *["ok"] * 6,
        "skipped", "ok", "skipped", "skipped", "ok", "ok", "skipped",
    ]  # fmt: skip
    assert "landing version" in lines[4]
    assert "1 closed days, 2026-11-01 to 2026-11-01" in lines[5]
    assert "30 posts in" in lines[-2]
    assert "on this machine alone" in lines[-1]
    assert PASSWORD not in text.stdout + text.stderr
    assert world.pds.sessions == set()  # logged out
    found = world.doctor()[1]
    assert found["signed fetch"]["state"] == "skipped"
    assert found["stores"]["state"] == "ok"
    # Made when the first viewer came, after the request was answered.
    wait_until(lambda: "keys version" in world.doctor()[1]["stores"]["seen"])


def test_a_store_whose_writer_is_still_at_the_schema_is_well(world: World, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    connect(new / "landing.sqlite").close()
    stores = world.doctor(data_dir=str(new))[1]["stores"]
    assert (stores["state"], stores["seen"]) == ("ok", "landing without a schema yet")


@pytest.mark.parametrize(
    ("version", "state"), [("v2.6.2", "wrong"), ("2.6.2", "wrong"), ("unknown", "wrong"), ("v2.10.2", "ok")]
)
def test_an_old_proxy_is_a_finding(world: World, version: str, state: str) -> None:
    assert world.doctor()[1]["proxy"]["state"] == "skipped"  # no request came through one
    httpx.get(f"http://{world.env['FORYOU_LISTEN']}/robots.txt", headers={"X-Proxy-Version": version})
    found = world.doctor()[1]["proxy"]
    assert (found["state"], version in found["seen"]) == (state, True)
    outside = httpx.get(f"http://{world.env['FORYOU_LISTEN']}/health").json()
    assert "proxy" not in outside


def test_settings_that_are_refused_are_a_finding(world: World) -> None:
    status, found = world.doctor(listen="nowhere")
    assert (status, list(found)) == (1, ["settings"])
    assert "FORYOU_LISTEN" in found["settings"]["seen"]
    assert "unknown setting FORYOU_NO_SUCH" in world.wrong("settings", no_such="1")
    assert "FORYOU_HOSTNAME is not set" in world.wrong("settings", hostname="localhost")


def test_a_web_app_on_every_network_is_right_in_a_container_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up = settings(tmp_path, hostname="feed.example.com", publisher_did=plc_did(1), listen="0.0.0.0:8080")
    monkeypatch.setattr(machine_checks, "IN_CONTAINER", (tmp_path / "mark",))
    with pytest.raises(WrongError, match="every network"):
        machine_checks._settings(set_up)
    (tmp_path / "mark").touch()
    assert machine_checks._settings(set_up).startswith("feed.example.com")


def test_a_data_directory_that_is_not_as_it_should_be(world: World, tmp_path: Path) -> None:
    assert "does not exist" in world.wrong("data directory", data_dir=str(tmp_path / "absent"))
    for made in (world.data_dir, world.data_dir / "lake"):
        made.chmod(0o755)  # folders that somebody made for all to read
    assert "can enter" in (said := world.wrong("permissions"))
    assert "read lake there -> chmod 700" in said
    (world.data_dir / "lake").chmod(0o700)
    for path in world.data_dir.glob("*.sqlite*"):
        path.chmod(0o600)
    (world.data_dir / ".gitkeep").touch(0o644)
    found = world.doctor()[1]["permissions"]
    assert found["state"] == "ok", found
    world.data_dir.chmod(0o700)
    with closing(connect(world.data_dir / "landing.sqlite")) as store:
        store.execute("INSERT INTO _migrations VALUES (99, 'landing/0099_future')")
    assert "schema version 99" in world.wrong("stores")
    (world.data_dir / "landing.sqlite").write_bytes(b"rubbish" * 1000)
    assert "can't be read" in world.wrong("stores")


@pytest.mark.parametrize("store", ["likes", "changes"])
def test_half_a_file_in_the_lake(world: World, store: str) -> None:
    [path] = (world.data_dir / "lake" / store).rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-3])
    assert f"{path} is not whole -> see OPERATIONS.md" in world.wrong("lake")
    path.write_bytes(b"")
    assert "lake" in world.wrong("lake")


def test_a_flipped_bit_in_the_lake(world: World) -> None:
    rows = pa.table({"liker_id": pa.array(range(1000), pa.int64())})
    path = places.likes(world.data_dir, DAY)
    pq.write_table(rows, path, write_page_checksum=True, compression="none", use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    assert f"{path} is damaged" in world.wrong("lake")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user(world: World) -> None:
    os.chown(world.data_dir / "serving.sqlite", 12345, 12345)
    assert "serving.sqlite belongs to user 12345" in world.wrong("permissions")


def test_parts_that_cannot_be_reached(world: World) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    assert nowhere in world.wrong("stream", stream_url=f"ws://{nowhere}/subscribe")
    assert "can't be reached" in world.wrong("PLC directory", plc_url=f"http://{nowhere}")
    assert "start it: foryou up" in world.wrong("web app", listen=nowhere)
    assert "that it runs" in world.wrong("did.json", hostname=nowhere)
    # One of two streams is enough.
    both = f"ws://{nowhere}/subscribe,{world.env['FORYOU_STREAM_URL']}"
    assert world.doctor(stream_url=both)[1]["stream"]["state"] == "ok"


def test_one_cause_is_named_once_and_first(world: World) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    status, found = world.doctor(
        plc_url=f"http://{nowhere}", stream_url=f"ws://{nowhere}/subscribe", hostname=nowhere
    )
    assert status == 1
    assert [name for name, finding in found.items() if finding["state"] == "wrong"] == ["network"]
    needing = {name for name, finding in found.items() if finding["seen"] == "first mend: network"}
    assert needing == {
        "PLC directory",
        "clock",
        "stream",
        "certificate",
        "did.json",
        "labelers",
        "feed record",
        "signed fetch",
        "AppView",
    }
    absent = world.doctor(data_dir=str(world.data_dir / "absent"))[1]
    assert {name for name, finding in absent.items() if finding["seen"] == "first mend: data directory"} == {
        "permissions", "stores", "lake", "rules"
    }  # fmt: skip


def test_it_names_no_program_that_is_not_used_here(world: World) -> None:
    """Nothing of systemd, Caddy or the tailnet where foryou runs in a terminal."""
    nowhere = f"127.0.0.1:{free_port()}"
    said = ""
    for changed in (
        {"hostname": nowhere}, {"listen": nowhere}, {"plc_url": f"http://{nowhere}"}, {"listen": "0.0.0.0:80"},
        {"data_dir": "/proc/1/nothing"}, {"hostname": "-"},
    ):  # fmt: skip
        said += json.dumps(world.doctor(**changed)[1])
    assert not re.findall(r"systemctl|journalctl|[Cc]addy|tailnet|VPS|/etc/foryou", said)


def test_what_foryou_toml_says_of_feeds_and_experiments_is_checked(world: World) -> None:
    file = world.data_dir.parent / "foryou.toml"
    file.write_text("[feeds.quiet]\nno_such = 1\n")
    assert "no_such" in world.wrong("settings", config=str(file))
    file.write_text("[experiments.late]\nfeed = 'no-such-feed'\nvariants = {a = {share = 0.5}}\n")
    assert "no-such-feed" in world.wrong("settings", config=str(file))
    file.write_text("[feeds.quiet]\nhalf_life_hours = 3\n")
    assert world.doctor(config=str(file))[1]["settings"]["seen"].endswith("/for-you and 1 more feeds")


def test_a_proxy_of_the_environment_is_never_used_for_this_machine(world: World) -> None:
    """Everything of this installation is on loopback, and the proxy does not exist."""
    dead = f"http://127.0.0.1:{free_port()}"
    named = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), dead)
    env = world.env | named | {"no_proxy": "example.com"}
    text = commands.run("doctor", env=env)
    assert text.returncode == 0, text.stdout
    assert dead not in text.stdout


def test_a_stream_that_sends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_checks, "EVENT_SECONDS", 2.0)
    said = "answers, but no event came in 2 s, not even one of the last 10 minutes"
    with LineStream([]) as stream, pytest.raises(WrongError, match=said):
        network_checks._stream(settings(world.data_dir, stream_url=stream.url))


def test_another_installation_under_our_name(world: World) -> None:
    with commands.running(
        "serve",
        env=world.env | {"FORYOU_LISTEN": (other := f"127.0.0.1:{free_port()}"), "FORYOU_HOSTNAME": other},
    ):
        wait_until(lambda: answers(other))
        assert "differs" in world.wrong(
            "did.json", listen=world.env["FORYOU_LISTEN"], hostname=other, service_did=""
        )


def test_a_record_of_another_service_or_none(world: World) -> None:
    world.pds.records["for-you"]["did"] = "did:web:old.example.com"
    assert "sends viewers to did:web:old.example.com" in world.wrong("feed record")
    world.pds.records.clear()
    assert "there is no at://" in world.wrong("feed record")


def test_rules_of_the_operator(tmp_path: Path) -> None:
    path, uri = places.rules(tmp_path), f"at://{plc_did(9)}/app.bsky.graph.list/3mmoojp7etg2g"
    with pytest.raises(SkippedError):
        machine_checks._rules(tmp_path)
    path.write_text("block word crypto\nblock wort x\n")
    with pytest.raises(RulesError, match=r"rules.txt, line 2"):
        machine_checks._rules(tmp_path)
    path.write_text(f"block word crypto\nblock list {uri}\n")
    with pytest.raises(WrongError, match=f"{uri} were not fetched"):
        machine_checks._rules(tmp_path)
    members = places.members(tmp_path, uri)
    members.parent.mkdir()
    members.write_text(f"# {uri}\n{plc_did(1)}\n")
    assert machine_checks._rules(tmp_path) == "2 rules, 1 members of followed lists"


def test_the_record_of_every_feed_is_checked(world: World, tmp_path: Path) -> None:
    config = tmp_path / "foryou.toml"
    config.write_text('[feeds.quiet]\nhalf_life_hours = 3\n[feeds.videos]\nmedia = "video"\n')
    first = world.pds.records["for-you"]
    said = world.wrong("feed record", config=str(config))
    assert "there is no at://" in said and "/quiet; there is no at://" in said and "/videos ->" in said
    world.pds.records["quiet"] = first | {"did": "did:web:old.example.com"}
    world.pds.records["videos"] = dict(first)
    assert "/quiet sends viewers to did:web:old.example.com" in world.wrong("feed record", config=str(config))
    world.pds.records["quiet"] = first | {"contentMode": VIDEO, "acceptsInteractions": False}
    found = world.doctor(config=str(config))[1]["feed record"]
    assert found["state"] == "ok"
    assert "/for-you and 2 more" in found["seen"]
    assert "quiet is shown as a feed of videos, but it has other posts" in found["seen"]
    assert "videos has nothing but videos, and its record does not say so" in found["seen"]


VIDEO = "app.bsky.feed.defs#contentModeVideo"
GENERATOR, FEED = "/xrpc/app.bsky.feed.getFeedGenerator", "/xrpc/app.bsky.feed.getFeed"
ITEMS = {"feed": [{"post": {"uri": f"at://x/{number}"}} for number in range(7)]}


def refusal(status: int, name: str, message: str) -> tuple[int, Any]:
    """An answer of the AppView as packages/bsky words it."""
    return status, {"error": name, "message": message}


def test_the_whole_path_through_the_appview(world: World) -> None:
    """One installation, and an AppView that answers as the real one does."""
    did = world.pds.records["for-you"]["did"]
    checked = load_settings({}, world.env, world.data_dir)
    checked = replace(checked, appview_url=world.pds.url)
    view: tuple[int, Any] = (200, {"view": {"did": did}, "isOnline": True, "isValid": True})

    def said(generator: tuple[int, Any], feed: tuple[int, Any], **changed: Any) -> str:
        world.pds.documents |= {GENERATOR: generator, FEED: feed}
        with http_client() as client:
            try:
                return feed_checks._through_appview(replace(checked, **changed), client)
            except WrongError as wrong:
                return f"{wrong.seen} -> {wrong.advice}"

    assert said(view, (200, ITEMS)) == f"{world.pds.url} shows 7 posts"
    unknown = refusal(400, "InvalidRequest", "could not find feed")
    assert f"does not know {checked.feed_uri} -> wait a minute" in said(unknown, (200, ITEMS))
    stale = (200, {"view": {"did": "did:web:old.example.com"}})
    assert "earlier record of" in said(stale, (200, ITEMS))
    for message, cause in (
        (f"could not resolve identity: {did}", f"it finds no document of {did}"),
        (f"invalid feed generator service details in did document: {did}", "names no #bsky_fg"),
    ):
        assert cause in said(view, refusal(400, "InvalidRequest", message))
    unavailable = refusal(502, "UpstreamFailure", "feed unavailable")
    assert "From here the same page comes from http://127.0.0.1" in said(view, unavailable)
    malformed = refusal(502, "InvalidFeedResponse", "feed provided an invalid response")
    assert "a page of 30 posts as malformed -> this is a defect of foryou" in said(view, malformed)
    assert "another service than this one" in said(view, refusal(400, "UnknownFeed", "unknown feed"))
    assert "shows none of the 30 posts" in said(view, (200, {"feed": []}))
    assert "says 500 : " in said(view, (500, b"<html>"))
    # Where our own side is at fault, that is the cause.
    nowhere = f"127.0.0.1:{free_port()}"
    assert f"no page of {checked.feed_uri}: http://{nowhere}" in said(view, unavailable, hostname=nowhere)
    other = replace(checked, feed_rkey="other").feed_uri
    assert '"error":"UnknownFeed"' in said(view, (200, {"feed": []}), feed_rkey="other").replace(": ", ":"), (
        other
    )
    assert "can't be reached" in str(raised(checked, f"http://{nowhere}"))
    with pytest.raises(SkippedError, match="signed in alone"):
        said(view, refusal(401, "AuthMissing", "Authentication Required"))


def raised(checked: Settings, appview: str) -> Exception:
    with http_client() as client, pytest.raises(OutsideError) as caught:
        feed_checks._through_appview(replace(checked, appview_url=appview), client)
    return caught.value


def settings(data_dir: Path, **values: str) -> Settings:
    return load_settings(values, {}, data_dir)


@contextmanager
def date_server(date: str | None) -> Iterator[str]:
    """A server that says what time it is, or nothing of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            if date is not None:
                self.send_header("Date", date)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_clocks(tmp_path: Path) -> None:
    hour = 3600
    for date, said in [
        (formatdate(time.time() - hour, usegmt=True), "ahead"),
        (formatdate(time.time() + hour, usegmt=True), "behind"),
    ]:
        with date_server(date) as url, http_client() as client, pytest.raises(WrongError) as caught:
            network_checks._clock(settings(tmp_path, plc_url=url), client)
        told = re.match(rf"this clock is (\d+) s {said}", caught.value.seen)
        assert told is not None, caught.value.seen
        assert int(told[1]) == pytest.approx(hour, abs=300)
    for date in (None, "yesterday"):
        with date_server(date) as url, http_client() as client, pytest.raises(SkippedError):
            network_checks._clock(settings(tmp_path, plc_url=url), client)


@contextmanager
def tls_server(folder: Path, days: int) -> Iterator[tuple[int, Path]]:
    """A server with a certificate of its own for localhost that is valid for so many days."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    key, certificate = folder / f"{days}.key", folder / f"{days}.crt"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", str(days),
            "-keyout", key, "-out", certificate,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1], certificate
    server.shutdown()
    server.server_close()


def test_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_checks, "public_url", lambda hostname: f"https://{hostname}")
    for days, said in [(60, "valid for 60 more days"), (5, "valid for 5 more days")]:
        with tls_server(tmp_path, days) as (port, certificate):
            checked = settings(tmp_path, hostname=f"localhost:{port}")
            with pytest.raises(WrongError, match="certificate is not valid"):
                network_checks._certificate(checked)  # nobody has told this machine to trust it
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            if days > network_checks.CERTIFICATE_MIN_DAYS:
                assert network_checks._certificate(checked) == said
            else:
                with pytest.raises(WrongError, match=said):
                    network_checks._certificate(checked)
            monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(WrongError, match="refused"):
        network_checks._certificate(settings(tmp_path, hostname=f"localhost:{free_port()}"))
