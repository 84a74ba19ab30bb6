"""A browser for the tests of signing in: it keeps cookies, and says where its forms come from.

Owns: one browser at this service's pages, simulated. Leaves to the tests: what it does.
"""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import falcon
from falcon.testing import Result, TestClient

PORT = 8080
ORIGIN = f"http://127.0.0.1:{PORT}"


class Browser:
    """Somebody at the pages."""

    def __init__(self, app: Any) -> None:
        self._client = TestClient(app)
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Result:
        """Open an address, which may be whole."""
        return self._request("GET", path.removeprefix(ORIGIN), None, headers)

    def post(self, path: str, fields: dict[str, Any], headers: dict[str, str] | None = None) -> Result:
        """Send a form, as a page of this service does unless the headers say otherwise."""
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        sent |= {"Origin": ORIGIN} if headers is None else headers
        return self._request("POST", path, urlencode(fields, doseq=True), sent)

    def begin(self, account: str) -> str:
        """Begin to sign in; return where the page goes on to."""
        answer = self.post("/sign-in", {"account": account})
        assert answer.status_code == 200, answer.text
        address = answer.headers["Refresh"].partition("url=")[2]
        found = re.search(r'href="([^"]+)" rel="noreferrer">Go on', answer.text)
        assert found is not None
        assert unescape(found[1]) == address
        return address

    def proof(self) -> str:
        """Return the proof in the forms of the page /me."""
        found = re.search(r'name="proof" value="([^"]+)"', self.get("/me").text)
        assert found is not None
        return found[1]

    def signed_in_as(self) -> str | None:
        """Return the DID that the page names, None when it sends the browser to sign in."""
        answer = self.get("/me")
        if answer.status == falcon.HTTP_303:
            assert answer.headers["Location"] == "/sign-in"
            return None
        found = re.search(r"signed in as [^(]*\((did:[a-z]+:[A-Za-z0-9.%:-]+)\)", answer.text)
        assert found is not None
        return found[1]

    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Result:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        path, _, query = path.partition("?")
        answer = self._client.simulate_request(
            method,
            path,
            query_string=query,
            body=body,
            headers=headers | ({"Cookie": cookie} if cookie else {}),
            host="127.0.0.1",
            port=PORT,
        )
        for name, each in answer.cookies.items():
            if each.value and each.max_age != 0:
                self.cookies[name] = each.value
            else:
                self.cookies.pop(name, None)
        return answer
