"""Signing in at a real PDS, through its own authorization page's API."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browser_client import ORIGIN, PORT, Browser
from network.conftest import Network
from serving_worlds import config_of

from serving.app import create_app
from serving.viewers.own_settings import OwnSettings, SettingsStore
from sql import places

API = "/@atproto/oauth-provider/~api"
PAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SCRIPT = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"}


class AtTheServer:
    """The same browser at the account's server. Its cookies are for TLS, so no library's jar sends them here."""

    def __init__(self, pds: str, address: str) -> None:
        self._host = urlsplit(pds).netloc
        self._pds, self._address = pds, address
        self._cookies: dict[str, str] = {}

    def sign_in(self, account: dict[str, Any]) -> str:
        """Open the page, sign in, agree; return where the browser is sent."""
        assert self._request("GET", self._address, PAGE)[0] == 200
        asked = {
            "locale": "en",
            "username": account["handle"],
            "password": account["password"],
            "remember": True,
        }
        status, text, _ = self._call("/sign-in", asked)
        assert status == 200, text
        return self._leave("/consent", {"did": account["did"]})

    def reject(self) -> str:
        """Open the page and say no; return where the browser is sent."""
        assert self._request("GET", self._address, PAGE)[0] == 200
        return self._leave("/reject", {})

    def _leave(self, endpoint: str, asked: dict[str, Any]) -> str:
        status, text, _ = self._call(endpoint, asked)
        assert status == 200, text
        headers = PAGE | {"Sec-Fetch-Site": "same-origin", "Referer": self._address}
        status, text, location = self._request("GET", json.loads(text)["url"], headers)
        assert status == 303, text
        return location

    def _call(self, endpoint: str, asked: dict[str, Any]) -> tuple[int, str, str]:
        headers = SCRIPT | {"Referer": self._address, "Origin": self._pds, "Content-Type": "application/json"}
        headers["x-csrf-token"] = self._cookies["csrf-token"]
        return self._request("POST", self._pds + API + endpoint, headers, json.dumps(asked))

    def _request(
        self, method: str, address: str, headers: dict[str, str], body: str | None = None
    ) -> tuple[int, str, str]:
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(self._host, timeout=30)
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = headers | ({"Cookie": cookie} if cookie else {})
        connection.request(method, f"{parts.path}?{parts.query}", body, headers)
        answer = connection.getresponse()
        for each in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers.get("Location", "")


@pytest.fixture(scope="module")
def accounts(network: Network) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = network.control("accounts", n=2, prefix="reader")
    return made


@pytest.fixture
def browser(network: Network, tmp_path: Path) -> Browser:
    config = config_of(
        tmp_path, network.plc, hostname=f"localhost:{PORT}", pages="public", appview_url=network.pds
    )
    return Browser(create_app(config))


def test_sign_in_save_sign_out_and_another_account(
    network: Network, accounts: list[dict[str, Any]], browser: Browser, tmp_path: Path
) -> None:
    first, second = accounts
    settings = SettingsStore(places.activity(tmp_path))
    assert browser.signed_in_as() is None
    for account, typed in ((first, first["handle"]), (second, second["did"])):
        answered = AtTheServer(network.pds, browser.begin(typed)).sign_in(account)
        assert answered.startswith(f"{ORIGIN}/oauth/callback?")
        assert browser.get(answered).headers["Location"] == "/me"
        assert browser.signed_in_as() == account["did"]
        assert browser.get(answered).status_code == 400  # the answer was taken
        assert settings.of(account["did"]) == OwnSettings()
        other = next(each for each in accounts if each != account)
        fields = {"proof": browser.proof(), "hidden_authors": f"@{other['handle']}", "languages": "en"}
        assert browser.post("/me/settings", fields).headers["Location"] == "/me"
        assert settings.of(account["did"]) == OwnSettings(hidden_authors=(other["did"],), languages=("en",))
        assert browser.post("/sign-out", {"proof": browser.proof()}).headers["Location"] == "/"
        assert browser.signed_in_as() is None


def test_no_is_no(network: Network, accounts: list[dict[str, Any]], browser: Browser) -> None:
    answered = AtTheServer(network.pds, browser.begin(accounts[0]["did"])).reject()
    assert parse_qs(urlsplit(answered).query)["error"] == ["access_denied"]
    assert "said no" in browser.get(answered).text
    assert browser.signed_in_as() is None


def test_another_account_than_the_one_that_was_named(
    network: Network, accounts: list[dict[str, Any]], browser: Browser
) -> None:
    """The server gives a code for the other account; here nobody is signed in by it."""
    at_server = AtTheServer(network.pds, browser.begin(accounts[0]["did"]))
    answered = at_server.sign_in(accounts[1])
    assert "code" in parse_qs(urlsplit(answered).query)
    assert browser.get(answered).status_code == 400
    assert browser.signed_in_as() is None
