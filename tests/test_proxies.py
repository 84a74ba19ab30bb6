"""Proxies that the environment names: the usual variables, but never for this machine."""

import os
from pathlib import Path

import commands
import httpx
import pytest
from streams import LineStream, free_port, wait_until
from test_ingest import LIKES
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from pipeline.proxies import proxy_for, spare_loopback
from pipeline.store.any_likes import has_likes

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.setenv("NO_PROXY", "intern.example")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", ["", ":8080"])
def test_every_library_agrees_about_this_machine(host: str, port: str) -> None:
    before = [proxy_for(f"http://{host}{port}"), get_proxy(parse_uri(f"ws://{host}{port}/x"))]
    assert before == [PROXY, PROXY]
    names = dict(os.environ)
    spare_loopback(names)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            assert names[name] == "intern.example,localhost,127.0.0.1,::1"
            patch.setenv(name, names[name])
        for scheme in ("http", "https", "ws", "wss"):
            assert proxy_for(f"{scheme}://{host}{port}/x") is None
        for scheme in ("ws", "wss"):
            assert get_proxy(parse_uri(f"{scheme}://{host}{port}/x")) is None
        with httpx.Client() as client:
            direct = client._transport_for_url(httpx.URL("https://intern.example"))
            for scheme in ("http", "https"):
                assert client._transport_for_url(httpx.URL(f"{scheme}://{host}{port}/x")) is direct
            assert client._transport_for_url(httpx.URL("https://plc.directory")) is not direct
        assert proxy_for("https://plc.directory") == PROXY
        assert proxy_for("wss://relay.example/x") == get_proxy(parse_uri("wss://relay.example/x")) == PROXY
        assert proxy_for("https://intern.example") is None
        again = dict(names)
        spare_loopback(again)
        assert again == names


def test_ingest_follows_a_stream_on_this_machine_without_one(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), dead)
    with LineStream(LIKES) as stream:
        env = commands.environment(tmp_path, stream_url=stream.url, stream_start_hours="1000000") | proxies
        with commands.running("ingest", env=env):
            wait_until(lambda: has_likes(tmp_path))
