"""Moderation lists that the operator follows: fetched whole or not at all, and in force on the next page."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from batch_tools import settings_for
from serving_worlds import plc_did
from streams import free_port

from pipeline.blocking import command, followed_lists
from pipeline.blocking.followed_lists import due, members_of
from pipeline.blocking.rule_file import RulesError, rules_of
from pipeline.blocking.rules import BLOCK
from pipeline.settings import Settings
from pipeline.store.operator_rules import OperatorRules
from sql import places

LIST = f"at://{plc_did(9)}/app.bsky.graph.list/3mmoojp7etg2g"
OTHER = f"at://{plc_did(9)}/app.bsky.graph.list/3mmoojp7etg2h"


class AppView:
    """Answers getList as the AppView does; ``wrong`` is a status and body to answer instead, ``pages`` a page's."""

    def __init__(self) -> None:
        self.lists: dict[str, list[str]] = {}
        self.wrong: tuple[int, bytes] | None = None
        self.cursor_stays = False
        self.fails_after = 1_000
        self.requests = 0
        self.url = ""

    def answer(self, query: dict[str, str]) -> tuple[int, bytes]:
        self.requests += 1
        if self.wrong is not None:
            return self.wrong
        if query["list"] not in self.lists:
            return 400, b'{"error": "InvalidRequest", "message": "List not found"}'
        start = int(query.get("cursor", 0))
        if start >= self.fails_after:
            return 502, b"<html>"
        dids = self.lists[query["list"]][start : start + int(query["limit"])]
        body: dict[str, Any] = {
            "list": {"uri": query["list"]},
            "items": [
                {"uri": f"at://x/{did}", "subject": {"did": did, "handle": "handle.invalid"}} for did in dids
            ],
        }
        if start + len(dids) < len(self.lists[query["list"]]):
            body["cursor"] = "7" if self.cursor_stays else str(start + len(dids))
        return 200, json.dumps(body).encode()


@pytest.fixture
def appview() -> Iterator[AppView]:
    held = AppView()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            status, body = held.answer(query)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield held
    server.shutdown()
    server.server_close()


def settings_of(data_dir: Path, appview: AppView) -> Settings:
    made = settings_for(data_dir)
    object.__setattr__(made, "appview_url", appview.url)
    return made


def block(settings: Settings, *what: str, remove: bool = False, refresh: bool = False) -> None:
    command.run(settings, BLOCK, what, remove=remove, note="", refresh=refresh)


def blocked(data_dir: Path) -> set[str]:
    with closing(OperatorRules(data_dir)) as rules:
        return {did for (did,) in rules._connection.execute("SELECT did FROM ruled_accounts WHERE blocked")}


def grow_old(data_dir: Path, uri: str) -> None:
    path = places.members(data_dir, uri)
    past = time.time() - followed_lists.REFRESH_SECONDS - 1
    os.utime(path, (past, past))


def test_a_list_is_in_force_when_it_is_blocked_and_follows_its_owner(tmp_path: Path, appview: AppView):
    settings = settings_of(tmp_path, appview)
    appview.lists[LIST] = [plc_did(number) for number in range(250)]
    block(settings, LIST)
    assert appview.requests == 3
    assert blocked(tmp_path) == set(appview.lists[LIST])
    block(settings, refresh=True)
    assert appview.requests == 3, "it is not due"
    assert due(tmp_path, rules_of(tmp_path), time.time()) == []
    grow_old(tmp_path, LIST)
    assert due(tmp_path, rules_of(tmp_path), time.time()) == [LIST]
    appview.lists[LIST] = [plc_did(300)]
    block(settings, refresh=True)
    assert blocked(tmp_path) == {plc_did(300)}
    appview.lists[OTHER] = [plc_did(301), plc_did(300)]
    block(settings, OTHER)
    assert blocked(tmp_path) == {plc_did(300), plc_did(301)}
    block(settings, OTHER, remove=True)
    assert blocked(tmp_path) == {plc_did(300)}
    assert places.all_members(tmp_path) == [places.members(tmp_path, LIST)]


@pytest.mark.parametrize(
    "wrong",
    [
        (502, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (400, b'{"error": "InvalidRequest", "message": "List not found"}'),
        (429, b"{}"),
        (200, b'{"items": [' + b" " * 2_100_000 + b"]}"),
        "ends early",
        "goes round",
        "nobody",
    ],
    ids=["502", "list", "empty", "400", "429", "large", "ends early", "goes round", "nobody"],
)
def test_members_stay_when_a_fetch_fails(
    tmp_path: Path, appview: AppView, wrong: Any, caplog: pytest.LogCaptureFixture
):
    settings = settings_of(tmp_path, appview)
    appview.lists[LIST] = [plc_did(number) for number in range(150)]
    block(settings, LIST)
    before = blocked(tmp_path)
    appview.lists[LIST] = [plc_did(number) for number in range(200, 500)]
    if wrong == "ends early":
        appview.fails_after = 200
    elif wrong == "goes round":
        appview.cursor_stays = True
    elif wrong == "nobody":
        appview.url = f"http://127.0.0.1:{free_port()}"
        settings = settings_of(tmp_path, appview)
    else:
        appview.wrong = wrong
    grow_old(tmp_path, LIST)
    block(settings, refresh=True)
    assert blocked(tmp_path) == before
    assert "the 150 members that are known stay" in caplog.text
    assert due(tmp_path, rules_of(tmp_path), time.time()) == [LIST], "it is looked for again"


def test_odd_members_are_passed_over_and_too_many_left_out(
    tmp_path: Path, appview: AppView, monkeypatch: pytest.MonkeyPatch
):
    settings = settings_of(tmp_path, appview)
    odd = {
        "items": [
            None,
            {},
            {"subject": 7},
            {"subject": {"did": "x\n" + plc_did(2)}},
            {"subject": {"did": plc_did(1)}},
        ]
    }
    appview.wrong = 200, json.dumps(odd).encode()
    block(settings, LIST)
    assert members_of(tmp_path, LIST) == [plc_did(1)]
    appview.wrong = None
    monkeypatch.setattr(followed_lists, "MEMBERS_MAX", 120)
    appview.lists[LIST] = [plc_did(number) for number in range(1000)]
    grow_old(tmp_path, LIST)
    block(settings, refresh=True)
    assert members_of(tmp_path, LIST) == appview.lists[LIST][:120]
    assert appview.requests == 3


def test_too_many_lists_are_refused(tmp_path: Path):
    keys = (f"3mmoojp7et{first}2{second}" for first in "234567abcdef" for second in "234567abcdef")
    lines = [f"block list at://{plc_did(9)}/app.bsky.graph.list/{key}2" for key in keys]
    places.rules(tmp_path).write_text("\n".join(lines))
    with pytest.raises(RulesError, match="line 101: more than 100 lists"):
        rules_of(tmp_path)
