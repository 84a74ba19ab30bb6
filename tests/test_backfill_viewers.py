"""One viewer's likes from their own repository, whose host may be slow, hostile or gone."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import commands
import pytest
from archive_server import ArchiveServer, like, segments_of
from backfill_tools import TODAY, backfill
from histories import did

from pipeline.backfill import viewer_repository
from pipeline.identifiers import tid_at, tid_from_int
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch
from pipeline.store.fetched_likes import HistoryLike, HistoryStore, Waiting, prune_history
from pipeline.store.landing import Landing
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US
from serving.identity.dids import HttpTarget
from serving.identity.repository_reader import RecordsPage, RepositoryReader, endpoint_of
from sql.sqlite import connect, migrate

LIKE = "app.bsky.feed.like"
NOW_US = time.time_ns() // 1000
AUTHOR = did("n")
Records = list[Any]


def record_of(viewer: str, age_us: int, number: int = 0) -> dict[str, Any]:
    """Return a like record as listRecords gives it; the age is its rkey's."""
    rkey = tid_from_int(tid_at(NOW_US - age_us, number))
    return {
        "uri": f"at://{viewer}/{LIKE}/{rkey}",
        "cid": "bafyreiaxgfger2ojkou77uc6e2r6jawp3twwx42h6agdc5wxi5bdn4bb7e",
        "value": {
            "$type": LIKE,
            "subject": {
                "uri": f"at://{AUTHOR}/app.bsky.feed.post/{tid_from_int(tid_at(NOW_US, number))}",
                "cid": "b",
            },
            "createdAt": "2026-11-20T12:00:00.000Z",
        },
    }


@dataclass
class Repositories:
    """A directory and a PDS on one port of loopback. ``answers`` takes over listRecords of a DID."""

    records: dict[str, Records] = field(default_factory=dict)
    answers: dict[str, Callable[["Any", dict[str, str]], None]] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.server_address[1]}"

    def asked(self) -> list[str]:
        return [path for path in self.requests if "listRecords" in path]

    def answer(self, request: Any) -> None:
        parts = urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/did:"):
            who = parts.path[1:]
            known = who in self.records or who in self.answers or who in self.documents
            self.send(request, 200 if known else 404, self.documents.get(who) or self.document(who))
        elif query["repo"] in self.answers:
            self.answers[query["repo"]](request, query)
        else:
            assert query["collection"] == LIKE
            start, limit = int(query.get("cursor", "0")), int(query["limit"])
            records = self.records[query["repo"]]
            page: dict[str, Any] = {"records": records[start : start + limit]}
            if start + limit < len(records):
                page["cursor"] = str(start + limit)
            self.send(request, 200, page)

    def document(self, who: str) -> dict[str, Any]:
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": self.url}
        return {"id": who, "service": [service]}

    def send(self, request: Any, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"content-length": str(len(data)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)


def stored(data_dir: Path) -> set[tuple[str, int, str, int, int]]:
    store = connect(data_dir / "landing.sqlite", read_only=True)
    rows = store.execute(
        "SELECT l.did, h.rkey, a.did, h.post_rkey, h.seen_us FROM history_likes AS h "
        "JOIN actors AS l ON l.actor_id = h.liker_id JOIN actors AS a ON a.actor_id = h.author_id"
    ).fetchall()
    store.close()
    return set(rows)


def outcome(data_dir: Path, viewer: str) -> tuple[int, str] | None:
    store = connect(data_dir / "landing.sqlite", read_only=True)
    row = store.execute("SELECT likes, outcome FROM fetched_viewers WHERE did = ?", (viewer,)).fetchone()
    store.close()
    return row


def visit(data_dir: Path, *visits: tuple[str, int]) -> None:
    """Let viewers open the feed for the first time at these times."""
    data_dir.mkdir(exist_ok=True)
    store = connect(data_dir / "activity.sqlite")
    migrate(store, "activity")
    store.executemany(
        "INSERT INTO visits VALUES (?, 'for-you', 'en', 1, ?, ?)", [(who, at, at) for who, at in visits]
    )
    store.close()


def test_a_viewers_likes_are_fetched_page_by_page(tmp_path: Path) -> None:
    who = did("v")
    likes = [record_of(who, hours * 3_600_000_000, hours) for hours in range(1, 131)]
    with Repositories({who: likes}) as hosts:
        env = commands.environment(tmp_path, plc_url=hosts.url)
        result = commands.run("backfill", "--viewer", who, env=env)
        assert result.returncode == 0, result.stderr
        assert len(hosts.asked()) == 3
        once = stored(tmp_path)
        assert commands.run("backfill", "--viewer", who, env=env).returncode == 0
    assert len(once) == 130
    assert stored(tmp_path) == once
    assert outcome(tmp_path, who) == (130, "done")
    for liker, rkey, author, post_rkey, seen_us in once:
        assert (liker, author, seen_us) == (who, AUTHOR, rkey >> 10)
        assert post_rkey >> 10 == NOW_US


def test_it_stops_at_the_end_of_the_window(tmp_path: Path) -> None:
    who = did("v")
    likes = [record_of(who, day * DAY_US, day) for day in range(200)]
    with Repositories({who: likes}) as hosts:
        found = viewer_repository.read_likes(who, RepositoryReader(hosts.url), NOW_US, Ranking())
        assert len(hosts.asked()) == 2
    assert len(found.likes) == 91
    assert found.failure == ""


def test_it_takes_the_newest_and_not_more_than_it_needs(tmp_path: Path) -> None:
    who = did("v")
    likes = [record_of(who, number * 1000, number % 1024) for number in range(1000)]
    with Repositories({who: likes}) as hosts:
        found = viewer_repository.read_likes(who, RepositoryReader(hosts.url), NOW_US, Ranking(max_seeds=60))
    assert [like.seen_us for like in found.likes] == [NOW_US - number * 1000 for number in range(120)]


def test_rubbish_records_are_left_out_and_counted() -> None:
    who = did("v")
    good, odd = record_of(who, DAY_US, 5), record_of(who, DAY_US, 6)
    ahead = record_of(who, -3 * DAY_US, 7)
    rubbish: Records = [
        None, 7, {}, {"uri": 7}, {**odd, "uri": f"at://{did('x')}/{LIKE}/3mmoojp7etg2g"},
        {**odd, "uri": f"at://{who}/{LIKE}/self"}, {**odd, "uri": f"at://{who}/{LIKE}/no key"}, {**odd, "value": None},
        {**odd, "value": {"subject": {"uri": f"at://{AUTHOR}/app.bsky.feed.generator/x"}}},
    ]  # fmt: skip
    with Repositories({who: [ahead, *rubbish, good]}) as hosts:
        found = viewer_repository.read_likes(who, RepositoryReader(hosts.url), NOW_US, Ranking())
    assert [like.seen_us for like in found.likes] == [NOW_US, NOW_US - DAY_US]
    assert found.counts == {"not_a_like": 5, "rkey_no_tid": 2, "like_without_record": 1, "like_of_no_post": 1}


@pytest.mark.parametrize(
    ("cursor", "pages"),
    [(lambda _: "same", 2), (lambda query: query.get("cursor", "") + "x", viewer_repository.PAGES_MAX)],
)
def test_an_endless_cursor_ends(cursor: Callable[[dict[str, str]], str], pages: int) -> None:
    who = did("v")

    def endless(request: Any, query: dict[str, str]) -> None:
        hosts.send(request, 200, {"records": [record_of(who, 1)], "cursor": cursor(query)})

    with Repositories(answers={who: endless}) as hosts:
        found = viewer_repository.read_likes(who, RepositoryReader(hosts.url), NOW_US, Ranking())
        assert len(hosts.asked()) == pages
    assert found.counts["cut_short"] == 1
    assert found.failure == ""
    assert [like.rkey for like in found.likes] == [tid_at(NOW_US - 1)]


def test_a_slow_drip_is_left_at_the_deadline() -> None:
    who = did("v")

    def drip(request: Any, _query: dict[str, str]) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(600):
                request.wfile.write(b" ")
                request.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return

    with Repositories(answers={who: drip}) as hosts:
        began = time.monotonic()
        found = viewer_repository.read_likes(
            who, RepositoryReader(hosts.url, page_seconds=0.5), NOW_US, Ranking()
        )
        assert time.monotonic() - began < 15
    assert "TimeoutError" in found.failure
    assert not found.absent


ANSWERS = {
    "rate limited": (429, b"{}", {"ratelimit-reset": "1800000000"}, "patience", False),
    "server error": (502, b"<html>", {}, "status 502", False),
    "no such repository": (400, b'{"error":"RepoNotFound"}', {}, "there is none", True),
    "a redirect": (302, b"", {"location": "http://169.254.169.254/"}, "status 302", False),
    "no JSON": (200, b"<html>", {}, "not a page of records", False),
    "no records": (200, b'{"records": 7}', {}, "not a page of records", False),
    "too large": (200, b" " * 200_000, {}, "too large", True),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_answers_that_are_none(answer: tuple[int, bytes, dict[str, str], str, bool]) -> None:
    status, body, headers, reason, absent = answer
    who = did("v")
    with Repositories() as hosts:
        hosts.answers[who] = lambda request, _query: hosts.send(request, status, body, headers)
        found = viewer_repository.read_likes(who, RepositoryReader(hosts.url), NOW_US, Ranking())
    assert reason in found.failure
    assert found.absent == absent


def test_what_came_before_a_failure_is_kept_and_the_command_fails(tmp_path: Path) -> None:
    who = did("v")
    likes = [record_of(who, number * 1000, number) for number in range(120)]

    def half(request: Any, query: dict[str, str]) -> None:
        if "cursor" in query:
            hosts.send(request, 429, {}, {"ratelimit-reset": "1800000000"})
        else:
            hosts.send(request, 200, {"records": likes[:50], "cursor": "50"})

    with Repositories(answers={who: half}) as hosts:
        result = commands.run(
            "backfill", "--viewer", who, env=commands.environment(tmp_path, plc_url=hosts.url)
        )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        f"foryou: {who}: the repository: its host asks for patience"
    )
    assert len(stored(tmp_path)) == 50
    assert outcome(tmp_path, who) == (
        50,
        "1 failures: the repository: its host asks for patience (status 429)",
    )


@pytest.mark.parametrize("viewer", ["nobody", "did:plc:short", did("9")])
def test_a_viewer_that_is_none_is_one_clear_line(tmp_path: Path, viewer: str) -> None:
    with Repositories() as hosts:
        result = commands.run(
            "backfill", "--viewer", viewer, env=commands.environment(tmp_path, plc_url=hosts.url)
        )
    assert result.returncode == 1
    assert viewer in result.stderr.splitlines()[-1]


def test_those_waiting_longest_come_first_and_each_run_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_repository, "RUN_VIEWERS", 3)
    waiting = [did(letter) for letter in "bcdef"]
    visit(tmp_path, *((who, 1000 - number) for number, who in enumerate(waiting)))
    with Repositories({who: [record_of(who, DAY_US)] for who in waiting}) as hosts:
        ask = RepositoryReader(hosts.url)
        viewer_repository.run_waiting(tmp_path, ask, Ranking())
        assert [parse_qs(urlsplit(path).query)["repo"][0] for path in hosts.asked()] == waiting[:1:-1]
        viewer_repository.run_waiting(tmp_path, ask, Ranking())
        assert len(hosts.asked()) == 5
        viewer_repository.run_waiting(tmp_path, ask, Ranking())
        assert len(hosts.asked()) == 5
    assert {row[0] for row in stored(tmp_path)} == set(waiting)


def test_a_viewer_whose_likes_the_store_has_is_not_asked_for(tmp_path: Path) -> None:
    """In the open days, in the lake, or in both together."""
    lake, landed, both, few = (did(letter) for letter in "bcde")
    noon = (TODAY - 2) * DAY_US + DAY_US // 2
    uri = f"at://{AUTHOR}/app.bsky.feed.post/{tid_from_int(tid_at(noon))}"
    liked = [(lake, 20), (both, 12), (few, 19)]
    events = [
        like(seq, noon + seq, who, tid_from_int(tid_at(noon + seq)), uri)
        for seq, who in enumerate((who for who, count in liked for _ in range(count)), 1)
    ]
    events.append(like(1000, TODAY * DAY_US + 1, AUTHOR, tid_from_int(tid_at(TODAY * DAY_US)), uri))
    with ArchiveServer(segments_of(events, 500)) as server:
        assert backfill(tmp_path, server, "--days", "3").returncode == 0
    store = connect(tmp_path / "landing.sqlite")
    for who, count in ((landed, 25), (both, 8)):
        store.execute("INSERT OR IGNORE INTO actors (did) VALUES (?)", (who,))
        rows = [(TODAY, number, who) for number in range(count)]
        store.executemany(
            "INSERT INTO likes SELECT ?, ?, actor_id, 1, 1, 1, 1 FROM actors WHERE did = ?", rows
        )
    store.close()
    visit(tmp_path, *((who, 1) for who in (lake, landed, both, few)))
    with Repositories({few: []}) as hosts:
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert len(hosts.asked()) == 1
    assert outcome(tmp_path, few) == (0, "done")
    assert [outcome(tmp_path, who) for who in (lake, landed, both)] == [(n, "enough") for n in (20, 25, 20)]


def test_a_viewer_whose_repository_was_reset_is_asked_again(tmp_path: Path) -> None:
    """Whatever likes the store has: of what the reset changed the stream told nothing."""
    who, other = did("b"), did("c")
    store = HistoryStore(tmp_path)
    for viewer in (who, other):
        store.store_viewer(viewer, [], time.time_ns() // 1000, "enough", count=90)
    store.close()
    visit(tmp_path, (who, 1), (other, 2))
    with Repositories({who: [record_of(who, DAY_US)]}) as hosts:
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert hosts.requests == []
        landing = Landing(tmp_path)
        landing.append(EventBatch(resets=[who, did("z")]), "one.example", "firehose")
        landing.close()
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert outcome(tmp_path, who) == (1, "done")
        assert outcome(tmp_path, other) == (90, "enough")
        asked = len(hosts.requests)
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert len(hosts.requests) == asked


def test_failures_are_remembered_and_tried_again_later_and_later(tmp_path: Path) -> None:
    who, gone = did("b"), did("c")
    visit(tmp_path, (who, 1), (gone, 2))
    with Repositories() as hosts:
        hosts.answers[who] = lambda request, _query: hosts.send(request, 503, b"")
        env = commands.environment(tmp_path, plc_url=hosts.url)
        result = commands.run("backfill", "--waiting", env=env)
        assert result.returncode == 0, result.stderr
        assert outcome(tmp_path, who) == (0, "1 failures: the repository: status 503")
        assert outcome(tmp_path, gone) == (0, "absent")
        asked = len(hosts.requests)
        assert commands.run("backfill", "--waiting", env=env).returncode == 0
        assert len(hosts.requests) == asked
    store = HistoryStore(tmp_path)
    pauses = Waiting(again_us=1000, first_us=10, most_us=100)
    try:
        waits = []
        for failures in range(1, 7):
            store.store_viewer(who, [], 0, f"{failures} failures: why")
            assert store.failures(who) == failures
            due = [
                at for at in range(200) if who in store.waiting(tmp_path / "activity.sqlite", at, pauses, 9)
            ]
            waits.append(due[0])
        assert waits == [10, 20, 40, 80, 100, 100]
        store.store_viewer(who, [], 0, "done")
        assert store.waiting(tmp_path / "activity.sqlite", 999, pauses, 9) == []
        assert store.waiting(tmp_path / "activity.sqlite", 1000, pauses, 9) == [who]
        assert store.failures(did("z")) == 0
    finally:
        store.close()


def test_without_anybody_waiting_nothing_is_made_or_asked(tmp_path: Path) -> None:
    with Repositories() as hosts:
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "activity.sqlite").touch()  # the web app is just making it
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert hosts.requests == []


def test_two_runs_do_not_meet(tmp_path: Path) -> None:
    visit(tmp_path, (did("b"), 1))
    with Repositories({did("b"): []}) as hosts, exclusive(tmp_path, "viewers"):
        viewer_repository.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert hosts.requests == []
        with pytest.raises(Exception, match="another viewers"):
            viewer_repository.run_viewer(tmp_path, did("b"), RepositoryReader(hosts.url), Ranking())


def test_history_that_is_too_old_is_pruned(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    ages = (1, 5, 9)
    likes = [HistoryLike(tid_at(NOW_US - age * DAY_US), AUTHOR, 7, NOW_US - age * DAY_US) for age in ages]
    # One whose rkey claims to be of next year was fetched seven days ago.
    likes.append(HistoryLike(tid_at(NOW_US + 365 * DAY_US), AUTHOR, 7, NOW_US - 7 * DAY_US))
    store.store_viewer(did("v"), likes, NOW_US, "done")
    store.close()
    connection = connect(tmp_path / "landing.sqlite")
    connection.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1", (NOW_US,))
    assert prune_history(connection, NOW_US - 6 * DAY_US) == 2
    connection.close()
    assert {seen_us for *_, seen_us in stored(tmp_path)} == {NOW_US - DAY_US, NOW_US - 5 * DAY_US}


def test_ids_given_out_beside_an_ingest_are_one_numbering(tmp_path: Path) -> None:
    """Two processes number the same DIDs at once; each DID gets one number, and both agree on it."""
    first, second = HistoryStore(tmp_path), HistoryStore(tmp_path)
    dids = [f"did:plc:{number:024d}" for number in range(3000)]
    results: list[dict[str, int]] = [{}, {}]

    def number(store: HistoryStore, into: dict[str, int], order: int) -> None:
        for start in range(0, 3000, 100):
            into.update(store.intern(dids[start : start + 100][::order]))

    threads = [
        threading.Thread(target=number, args=(store, into, order))
        for store, into, order in ((first, results[0], 1), (second, results[1], -1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert len(set(results[0].values())) == 3000
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("https://pds.example.com", HttpTarget("https", "pds.example.com", 443, "")),
        ("https://pds.example.com/", HttpTarget("https", "pds.example.com", 443, "")),
        ("https://pds.example.com:443", HttpTarget("https", "pds.example.com", 443, "")),
        ("http://pds.example.com", None), ("https://pds.example.com:8443", None), ("https://localhost", None),
        ("http://localhost:2583", None), ("https://a@pds.example.com", None), ("https://pds.example.com/x", None),
        ("https://pds.example.com?x=1", None), ("https://pds.example.com#x", None), ("https://pds.example.com:x", None),
        ("https://pds.exa\r\nmple.com", None), ("https://pds.ex ample.com", None), ("ftp://pds.example.com", None),
        ("https://ü.example.com", None), ("https://[::1]", None), ("", None), (7, None), (None, None),
    ],
)  # fmt: skip
def test_which_endpoints_are_asked(endpoint: object, target: HttpTarget | None) -> None:
    service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": endpoint}
    document = {"id": AUTHOR, "service": [{"id": "#other"}, "x", service]}
    assert endpoint_of(document, AUTHOR) == target
    assert endpoint_of({**document, "id": did("o")}, AUTHOR) is None


@pytest.mark.parametrize("document", [None, [], {}, {"id": AUTHOR}, {"id": AUTHOR, "service": {"x": 1}}])
def test_documents_that_name_no_host(document: object) -> None:
    assert endpoint_of(document, AUTHOR) is None


@pytest.mark.parametrize("endpoint", ["http://10.0.0.1:80", "http://169.254.169.254", "https://10.0.0.1"])
def test_a_document_leads_to_no_private_host(endpoint: str) -> None:
    """Also on a private network, where only this machine is allowed."""
    who = did("v")
    service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": endpoint}
    with Repositories(documents={who: {"id": who, "service": [service]}}) as hosts:
        page = RepositoryReader(hosts.url)(who, LIKE, None)
    assert page.outcome == "absent"
    # On the internet an address of this machine is refused, whatever the document says.
    reader = RepositoryReader("https://plc.directory")
    reader._last = (who, HttpTarget("https", "127.0.0.1", 1, ""))
    assert reader(who, LIKE, None) == RecordsPage(
        "absent", reason="the repository: the host has no public address"
    )
