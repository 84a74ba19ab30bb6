"""One viewer's likes from their own repository, whose host may be slow, hostile or gone."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import pytest
from backfill_tools import TODAY
from histories import did
from repositories import AUTHOR, LIKE, NOW_US, Records, Repositories, know, record_of

from pipeline.backfill import fetch_waiting, viewer_repository
from pipeline.backfill.viewer_repository import FIRST_PATIENCE, Patience
from pipeline.identifiers import tid_at
from pipeline.lake.compact import compact
from pipeline.ranking import Ranking
from pipeline.store.events import EventBatch, Like
from pipeline.store.fetched_likes import HistoryStore, Waiting
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.locks import exclusive
from pipeline.store.model import DAY_US
from serving.identity.dids import HttpTarget
from serving.identity.repository_reader import (
    LocatedRepository,
    RecordsPage,
    RepositoryReader,
    endpoint_of,
)
from sql.sqlite import connect, migrate

WRITTEN_US = 1_795_176_000_000_000  # when records say they were made
NOW = viewer_repository.FetchTimes(NOW_US, NOW_US)


def read(
    hosts: Repositories, who: str, ranking: Ranking, patience: Patience = FIRST_PATIENCE
) -> viewer_repository.RepositoryLikes:
    """Read one repository."""
    located = RepositoryReader(hosts.url).locate(who, known=False, seconds=5.0)
    assert isinstance(located, LocatedRepository)
    return viewer_repository.read_likes(who, located, NOW, ranking, patience)


def stored(data_dir: Path) -> set[tuple[str, int, str, int, int]]:
    store = connect(data_dir / "landing.sqlite", read_only=True)
    rows = store.execute(
        "SELECT l.did, h.rkey, a.did, h.post_rkey, h.seen_us FROM likes AS h "
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
    know(tmp_path)
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
        found = read(hosts, who, Ranking())
        assert len(hosts.asked()) == 2
    assert len(found.likes) == 91
    assert found.failure == ""


def test_it_takes_the_newest_and_not_more_than_it_needs(tmp_path: Path) -> None:
    who = did("v")
    likes = [record_of(who, number * 1000, number % 1024) for number in range(1000)]
    with Repositories({who: likes}) as hosts:
        found = read(hosts, who, Ranking(max_seeds=60))
    assert [like.seen_us for like in found.likes] == [NOW_US - number * 1000 for number in range(120)]


def test_rubbish_records_are_left_out_and_counted() -> None:
    who = did("v")
    good, odd, other = (record_of(who, DAY_US, number) for number in (5, 6, 7))
    ahead = record_of(who, -3 * DAY_US, 7)
    rubbish: Records = [
        None, 7, {}, {"uri": 7}, {**odd, "uri": f"at://{did('x')}/{LIKE}/3mmoojp7etg2g"},
        {**odd, "uri": f"at://{who}/{LIKE}/self"}, {**odd, "uri": f"at://{who}/{LIKE}/no key"}, {**odd, "value": None},
        {**other, "value": {"subject": {"uri": f"at://{AUTHOR}/app.bsky.feed.generator/x"}}},
    ]  # fmt: skip
    with Repositories({who: [ahead, *rubbish, good]}) as hosts:
        found = read(hosts, who, Ranking())
    assert [like.seen_us for like in found.likes] == [NOW_US, WRITTEN_US, NOW_US - DAY_US]
    assert found.counts == {"not_a_like": 6, "like_without_record": 1, "like_of_no_post": 1}


@pytest.mark.parametrize(
    ("cursor", "pages"),
    [(lambda _: "same", 2), (lambda query: query.get("cursor", "") + "x", viewer_repository.PAGES_MAX)],
)
def test_an_endless_cursor_ends(cursor: Callable[[dict[str, str]], str], pages: int) -> None:
    who = did("v")

    def endless(request: Any, query: dict[str, str]) -> None:
        hosts.send(request, 200, {"records": [record_of(who, 1)], "cursor": cursor(query)})

    with Repositories(answers={who: endless}) as hosts:
        found = read(hosts, who, Ranking())
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
            for _ in range(2_400):
                request.wfile.write(b" ")
                request.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return

    with Repositories(answers={who: drip}) as hosts:
        began = time.monotonic()
        found = read(hosts, who, Ranking(), Patience(5.0, 0.5, 9.0))
        assert time.monotonic() - began < 100
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
        found = read(hosts, who, Ranking())
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

    know(tmp_path)
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


def test_a_viewer_whose_likes_the_store_has_is_not_asked_for(tmp_path: Path) -> None:
    """In the open days, in the lake, or in both together."""
    lake, landed, both, few = (did(letter) for letter in "bcde")
    landing = Landing(tmp_path)

    def tell(day: int, *likes: tuple[str, int]) -> None:
        noon_us = day * DAY_US + DAY_US // 2
        batch = EventBatch(newest_us=noon_us, low_us=noon_us)
        whose = [who for who, count in likes for _ in range(count)]
        batch.likes = [
            Like(who, tid_at(noon_us + number), AUTHOR, number, noon_us, tid_at(noon_us + number))
            for number, who in enumerate(whose)
        ]
        landing.append(batch, "one.example", "firehose")

    tell(TODAY - 2, (lake, 20), (both, 12), (few, 19))
    tell(TODAY - 1, (landed, 25), (both, 8))
    list(compact(tmp_path, Ranking(), 1))
    assert len(list(tmp_path.glob("lake/likes/*/likes.parquet"))) == 1
    retention = Retention(landing, tmp_path, 90)
    while retention.step():
        pass
    landing.close()
    visit(tmp_path, *((who, 1) for who in (lake, landed, both, few)))
    with Repositories({few: []}) as hosts:
        fetch_waiting.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert len(hosts.asked()) == 1
    assert outcome(tmp_path, few) == (0, "done")
    assert [outcome(tmp_path, who) for who in (lake, landed, both)] == [(n, "enough") for n in (20, 25, 20)]


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

    def is_due(at: int) -> bool:
        return who in [viewer.did for viewer in store.waiting(tmp_path, at, pauses, 9)]

    try:
        waits = []
        for failures in range(1, 7):
            store.store_viewer(who, [], 1, f"{failures} failures: why")
            assert store.failures(who) == failures
            due = [at for at in range(1, 200) if is_due(at)]
            waits.append(due[0])
        assert waits == [11, 21, 41, 81, 101, 101]
        store.store_viewer(who, [], 1, "done")
        assert not is_due(1000)
        assert is_due(1001)
        assert store.failures(did("z")) == 0
    finally:
        store.close()


def test_without_anybody_waiting_nothing_is_made_or_asked(tmp_path: Path) -> None:
    with Repositories() as hosts:
        fetch_waiting.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "activity.sqlite").touch()  # the web app is just making it
        fetch_waiting.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert hosts.requests == []


def test_two_runs_do_not_meet(tmp_path: Path) -> None:
    visit(tmp_path, (did("b"), 1))
    with Repositories({did("b"): []}) as hosts, exclusive(tmp_path, "viewers"):
        fetch_waiting.run_waiting(tmp_path, RepositoryReader(hosts.url), Ranking())
        assert hosts.requests == []
        with pytest.raises(Exception, match="another viewers"):
            viewer_repository.run_viewer(tmp_path, did("b"), RepositoryReader(hosts.url), Ranking())


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
        page = RepositoryReader(hosts.url).locate(who, known=False, seconds=5.0)
        if isinstance(page, LocatedRepository):
            page = page.page(LIKE, None, 5.0)
    assert page.outcome == "absent"
    # On the internet an address of this machine is refused, whatever the document says.
    reader = RepositoryReader("https://plc.directory")
    located = reader.at(who, HttpTarget("https", "127.0.0.1", 1, ""))
    assert located.page(LIKE, None, 5.0) == RecordsPage(
        "absent", reason="the repository: the host has no public address"
    )
