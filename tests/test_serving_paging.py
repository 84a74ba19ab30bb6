"""Properties of cursors and pages: for any list, any limits and any publications in between."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_worlds import (
    FEED,
    INTERACTIONS,
    SKELETON,
    Account,
    Clock,
    OneAccount,
    ServingStore,
    bearer,
    blob,
    config_of,
    plc_did,
    post_uri,
)

from serving.app import create_app
from serving.feed.get_feed_skeleton import requested_languages
from serving.feed.page_cursors import (
    BEGAN_MAX,
    Cursor,
    CursorCodec,
    CursorError,
    installation_key,
)
from serving.feed.paging import PageRequest, page_of
from serving.lists.list_store import ListStore
from serving.viewers.activity_writer import ActivityWriter

CODEC = CursorCodec(b"k" * 32)
VIEWER = plc_did(1)


@given(
    st.builds(
        Cursor,
        feed=st.text(min_size=1, max_size=20).filter(lambda text: text.isascii()),
        fallback=st.booleans(),
        language=st.sampled_from(["", "en", "pt"]),
        generation=st.integers(0, 2**63 - 1),
        place=st.integers(0, BEGAN_MAX),
        began=st.integers(0, BEGAN_MAX),
        marks=st.binary(max_size=1250).map(lambda marks: marks.rstrip(b"\0")),
    )
)
def test_a_cursor_round_trips(cursor: Cursor) -> None:
    text = CODEC.encode(cursor)
    assert len(text) == 48 + 4 * -(-len(cursor.marks) // 3)
    assert CODEC.decode(text, cursor.feed) == cursor
    with pytest.raises(CursorError):
        CODEC.decode(text, cursor.feed + "x")
    with pytest.raises(CursorError):
        CursorCodec(b"j" * 32).decode(text, cursor.feed)


@given(st.text(max_size=60) | st.from_regex(r"\A[A-Za-z0-9_-]{48,64}\Z"))
def test_rubbish_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorError):
        CODEC.decode(text, "for-you")


@given(place=st.integers(0, 51), letter=st.sampled_from("ABab01-_"))
def test_a_changed_letter_is_no_cursor(place: int, letter: str) -> None:
    text = CODEC.encode(Cursor("for-you", False, "", 41, 50, 1_790_000_000, b"\x01\x40"))
    changed = text[:place] + letter + text[place + 1 :]
    if changed != text:
        with pytest.raises(CursorError):
            CODEC.decode(changed, "for-you")


@given(
    st.text(max_size=200)
    | st.from_regex(r"([a-z]{2}(-[A-Z]{2})?(;q=[01](\.[0-9])?)?, ?){0,5}", fullmatch=True)
)
def test_reading_languages_never_raises(header: str) -> None:
    codes = requested_languages(header)
    assert len(codes) == len(set(codes)) <= 10
    assert all(len(code) == 2 and code.isascii() and code.islower() for code in codes)


def test_languages_come_in_the_order_of_their_weights() -> None:
    assert requested_languages("en;q=0.5, pt-BR;q=0.9,de") == ("de", "pt", "en")
    assert requested_languages("en,pt") == ("en", "pt")
    assert requested_languages(None) == requested_languages("*") == requested_languages("en;q=0") == ()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_joined_pages_are_the_list_whatever_is_published_meanwhile(data: st.DataObject) -> None:
    known = st.integers(1, 200)
    first = data.draw(st.lists(known, min_size=1, max_size=80, unique=True), label="list")
    removed = data.draw(st.sets(known, max_size=60), label="removed")
    personal = data.draw(st.booleans(), label="personal")
    with tempfile.TemporaryDirectory() as folder:
        written = ServingStore(Path(folder) / "serving.sqlite")
        written.posts([post for post in range(1, 201) if post not in removed])
        store = ListStore(Path(folder) / "serving.sqlite")

        def publish(generation: int, posts: list[int]) -> None:
            lists_of = {VIEWER: blob(posts)} if personal else {}
            written.publish(generation, lists_of, {"": blob(posts)})

        publish(1, first)
        posts: list[str] = []
        cursor: Cursor | None = None
        generation = 1
        while True:
            limit = data.draw(st.integers(1, 30), label="limit")
            with store.read() as snapshot:
                assert snapshot is not None
                page = page_of(snapshot, PageRequest("for-you", VIEWER, [], limit, cursor))
            posts += [entry.uri for entry in page.entries]
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page.entries) == limit
            cursor = CODEC.decode(CODEC.encode(cursor), "for-you")
            if data.draw(st.booleans(), label="publish"):
                generation += 1
                publish(generation, data.draw(st.lists(known, max_size=40, unique=True), label="newer"))
        written.close()
    assert posts == [post_uri(post) for post in first if post not in removed]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("rubbish")
    account, clock = Account(VIEWER), Clock()
    store = ServingStore(folder / "serving.sqlite")
    store.posts(range(1, 50))
    store.publish(1, {VIEWER: blob(range(1, 50))}, {"": blob([1])})
    activity = ActivityWriter(folder / "activity.sqlite", now=clock)
    app = create_app(config_of(folder), now=clock, resolver=OneAccount(account), activity=activity)
    yield TestClient(app), account
    activity.close()
    store.close()


_PATHS = st.sampled_from(
    [SKELETON, INTERACTIONS, "/health", "/", "/viewer/x", f"/viewer/{VIEWER}", "/xrpc/", "/xrpc/a.b.c", "/x"]
)
_QUERY = st.text(st.characters(codec="ascii", exclude_characters="#"), max_size=60) | st.builds(
    lambda name, value: f"feed={FEED}&{name}={value}",
    st.sampled_from(["limit", "cursor", "feed", "q", "from", "generation", "after"]),
    st.text(st.characters(codec="ascii", exclude_characters="#"), max_size=50),
)


@settings(max_examples=300, deadline=None)
@given(
    path=_PATHS,
    query=_QUERY,
    signed=st.booleans(),
    language=st.text(st.characters(codec="latin-1"), max_size=20),
)
def test_no_query_is_a_500(client: Any, path: str, query: str, signed: bool, language: str) -> None:
    app, account = client
    headers = bearer(account.token()) if signed else {}
    answer = app.simulate_get(
        path,
        query_string=query.lstrip("?"),
        headers=headers,
        host="localhost",
        remote_addr="127.0.0.1",
        extras={"HTTP_ACCEPT_LANGUAGE": language},
    )
    assert answer.status_code in {200, 400, 401, 404, 405, 501, 503}
    if answer.status_code != 200 and path != "/health":
        assert set(answer.json) == {"error", "message"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.just(post_uri(1)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["interactions", "feed", "item", "event", "feedContext", "reqId", "x"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(body=_VALUES | st.fixed_dictionaries({"interactions": st.lists(_VALUES, max_size=4)}))
def test_no_body_is_a_500(client: Any, body: Any) -> None:
    app, account = client
    headers = bearer(account.token("app.bsky.feed.sendInteractions"))
    answer = app.simulate_post(INTERACTIONS, json=body, headers=headers)
    assert answer.status_code in {200, 400}
    assert answer.json == {} or set(answer.json) == {"error", "message"}


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300), encoding=st.sampled_from([None, "gzip", "identity", "br", "GZIP", ""]))
def test_no_bytes_are_a_500(client: Any, body: bytes, encoding: str | None) -> None:
    app, account = client
    headers = bearer(account.token("app.bsky.feed.sendInteractions"))
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    answer = app.simulate_post(INTERACTIONS, body=body, headers=headers)
    assert answer.status_code in {200, 400, 415}


def test_a_damaged_key_file_is_replaced_and_an_unwritable_one_does_without(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cursor.key"
    key = installation_key(path)
    assert installation_key(path) == key
    path.write_bytes(b"short")
    assert installation_key(path) != key
    assert len(path.read_bytes()) == 32
    assert [entry.name for entry in path.parent.iterdir()] == ["cursor.key"]
    (tmp_path / "file").write_text("")
    assert len(installation_key(tmp_path / "file" / "cursor.key")) == 32
