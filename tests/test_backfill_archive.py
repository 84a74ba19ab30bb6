"""The archive's format and its server: our decoder agrees with the SDK's, and no fault of the server costs a like."""

import contextlib
import random
import re
from pathlib import Path

import pytest
from archive_server import (
    ACCOUNT,
    CREATE,
    DELETE,
    LIKE,
    RESYNC,
    SYNC,
    UPDATE,
    ArchiveServer,
    Event,
    StoredSegment,
    encode_block,
    encode_segment,
    like,
    segments_of,
)
from atproto_jetstream import JetstreamClient
from atproto_jetstream.archive.downloader import iter_block_frames
from atproto_jetstream.archive.segment import SegmentEvent, decompress_block, read_sealed_header
from atproto_jetstream.archive.segment import decode_block as sdk_decode_block
from backfill_tools import TODAY, backfill, events_of, readers_see, whole_today  # noqa: F401
from histories import History
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backfill.archive import Archive, Segment
from pipeline.backfill.segments import Rows, SegmentError, block_frames, decode_block
from pipeline.errors import BackfillError
from pipeline.identifiers import rkey_to_int, tid_to_int
from pipeline.ingest.records import like_subject
from pipeline.store.model import DAY_US


def as_event(row: SegmentEvent) -> Event:
    """Return a row of the SDK's decoder as one of our encoder's."""
    return Event(
        row.seq, row.witnessed_at, row.kind, row.did, row.collection, row.rkey, row.payload or b"",
        row.rev, row.indexed_at,
    )  # fmt: skip


def sdk_rows(data: bytes) -> list[SegmentEvent]:
    return [row for frame in iter_block_frames(data) for row in sdk_decode_block(frame)]


def our_rows(path: Path) -> Rows:
    rows = Rows()
    for frame in block_frames(path):
        decode_block(frame, rows)
    return rows


def assert_rows_agree(rows: Rows, theirs: list[SegmentEvent]) -> None:
    """Hold our rows against those of the SDK's decoder, read one by one."""
    import libipld

    likes, dropped, read_whole = [], set(), {}
    for row in theirs:
        number = rkey_to_int(row.rkey)
        rev = tid_to_int(row.rev)
        if row.kind == SYNC:
            rev = tid_to_int(libipld.decode_dag_cbor(row.payload)["rev"])
        if row.kind in (SYNC, RESYNC) and (row.kind == SYNC or row.collection == LIKE):
            read_whole[row.did] = max(rev or 0, read_whole.get(row.did, 0))
        if row.collection != LIKE or number is None or not row.did.startswith("did:plc:"):
            continue
        if row.kind == DELETE:
            dropped.add((row.did, number, rev))
        elif row.kind in (CREATE, UPDATE, RESYNC) and row.payload:
            try:
                subject = like_subject(libipld.decode_dag_cbor(row.payload))
            except ValueError:
                continue
            if not isinstance(subject, str):
                likes.append((row.witnessed_at, row.indexed_at, row.did, number, rev, *subject))
    assert [tuple(word[:7]) for word in rows.words if word.author is not None] == likes
    assert dropped <= {(word.liker, word.rkey, word.rev) for word in rows.words if word.author is None}
    assert rows.events == len(theirs)
    deleted = {row.did for row in theirs if row.kind == ACCOUNT and b"deleted" in row.payload}
    assert rows.statements.keys() == read_whole.keys() | deleted
    assert all(rows.statements[who] >= rev for who, rev in read_whole.items())


def test_a_real_segment_decodes_as_the_sdk_decodes_it(real_bytes: Path) -> None:
    path = real_bytes / "golden_corpus_segment.jss"
    rows = our_rows(path)
    assert len([word for word in rows.words if word.author is not None]) == 10
    assert_rows_agree(rows, sdk_rows(path.read_bytes()))


def test_our_encoder_writes_the_blocks_of_a_real_segment(real_bytes: Path) -> None:
    """So what the tests serve is the archive's format."""
    data = (real_bytes / "golden_corpus_segment.jss").read_bytes()
    for frame in iter_block_frames(data):
        assert encode_block([as_event(row) for row in sdk_decode_block(frame)]) == decompress_block(frame)
    again = encode_segment([as_event(row) for row in sdk_rows(data)], 8)
    theirs, ours = read_sealed_header(data), read_sealed_header(again)
    assert (ours.version, ours.block_count, ours.event_count) == (
        theirs.version,
        theirs.block_count,
        theirs.event_count,
    )
    assert data[18:58] == again[18:58]  # counts, sequence and time envelopes
    assert sdk_rows(again) == sdk_rows(data)


def test_random_segments_decode_as_the_sdk_decodes_them(tmp_path: Path) -> None:
    data = encode_segment(History(20_000, 4).grow(3, 400).events, 100)
    (tmp_path / "segment").write_bytes(data)
    assert_rows_agree(our_rows(tmp_path / "segment"), sdk_rows(data))


def test_the_sdks_own_client_reads_the_server(tmp_path: Path) -> None:
    """The server speaks as the archive does, to somebody else's client."""
    events = History(20_000, 4).grow(2, 100).events
    with ArchiveServer(segments_of(events, 60)) as server:
        client = JetstreamClient(base_uri=server.url.replace("http", "ws") + "/xrpc", api_key="secret-key")
        seqs = [message.seq for message in client.snapshot()]
    readable = {event.seq for event in events if event.kind in range(1, 7) and event.payload != b"\xff\xff"}
    assert set(seqs) == readable


def test_rows_that_are_rubbish_are_counted(tmp_path: Path) -> None:
    noon, who = 20_000 * DAY_US, "did:plc:" + "b" * 24
    rkey = "3mmoojp7etg2g"
    events = [
        like(1, noon, who, rkey, f"at://{who}/app.bsky.feed.post/{rkey}"),
        Event(2, noon, CREATE, who, LIKE, rkey, b"\xff\xff"),
        Event(3, noon, CREATE, who, LIKE, rkey, b""),
        Event(4, noon, CREATE, who, LIKE, rkey, b"\xa0"),
        Event(5, noon, CREATE, "did:ü:x", LIKE, rkey, b"\xa0"),
        Event(6, noon, CREATE, who, LIKE, "no key", b"\xa0"),
        Event(7, 3, CREATE, who, LIKE, rkey, b"\xa0"),
        Event(8, noon, CREATE, who, "app.bsky.feed.lika", rkey, b"\xa0"),
        Event(9, noon, ACCOUNT, who, payload=b"\xff"),
        Event(10, noon, 200, who, LIKE, rkey),
    ]
    (tmp_path / "segment").write_bytes(encode_segment(events, 4))
    rows = our_rows(tmp_path / "segment")
    # A record that can't be read may have been a like before, unless its revision is as old as its key.
    assert [word.author for word in rows.words] == [who, None, None, None]
    assert rows.counts == {
        "bad_record": 2, "bad_account": 1, "like_without_subject": 1, "bad_did": 1, "bad_rkey": 1, "bad_time": 1,
    }  # fmt: skip
    assert rows.statements == {}


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_segment_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = encode_segment(History(20_000, 1).grow(1, 40).events, 20)
    path = tmp_path_factory.getbasetemp() / "damaged"
    position = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    changed = (
        whole[:position]
        if cut
        else whole[:position] + bytes([data.draw(st.integers(0, 255))]) + whole[position + 1 :]
    )
    path.write_bytes(changed)
    with contextlib.suppress(SegmentError):
        our_rows(path)


@pytest.mark.parametrize("block", [b"", b"\x01", b"\xff\xff\xff\xff" + b"\0" * 40, encode_block([]) + b"x"])
def test_columns_that_do_not_fit_are_told(block: bytes) -> None:
    import zstandard

    with pytest.raises(SegmentError):
        decode_block(zstandard.ZstdCompressor().compress(block), Rows())


FAULTS = {
    "every kind": [
        "503",
        "cut:0",
        "cut:3000",
        "429:Retry-After=1",
        "502",
        "cut:1",
        "ok",
        "cut:900",
        "429:RateLimit-Reset=1",
    ],
    "cut again and again": ["cut:700"] * 6,
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_a_faulty_server_costs_no_like(tmp_path: Path, faults: list[str]) -> None:
    history = History(TODAY - 4, 2).grow(days=4, a_day=100)
    with ArchiveServer(segments_of(events_of(history), 150), faults=list(faults)) as server:
        result = backfill(tmp_path, server, "--days", "4")
        assert result.returncode == 0, result.stderr
        assert any(span for _, span in server.asked("getSegment")), "it went on where it was cut"
    assert server.faults == []
    assert readers_see(tmp_path) == history.exist()
    assert ("the quota is used up" in result.stderr) == any(fault.startswith("429") for fault in faults)


def test_a_segment_that_is_rewritten_meanwhile_is_listed_and_fetched_anew(tmp_path: Path) -> None:
    """As the archive does every few hours, to drop what was deleted: likes are gone from it, unlikes stay."""
    history = History(TODAY - 4, 2).grow(days=4, a_day=100)
    stored = segments_of(events_of(history), 100)
    which = len(stored) - 3  # they are fetched from the newest on
    # What is not true any more in the end may be dropped of creations; all else stays.
    rewritten = [
        event
        for event in map(as_event, sdk_rows(stored[which].data))
        if event.kind != CREATE or (event.did, rkey_to_int(event.rkey)) in history.records
    ]
    assert len(rewritten) < 100
    # The connection is cut first, so that the second half would be of another file than the first.
    faults = ["ok", "ok", "cut:900"]
    with ArchiveServer(stored, faults=faults, rewritten=encode_segment(rewritten, 20)) as server:
        result = backfill(tmp_path, server, "--days", "4")
        assert result.returncode == 0, result.stderr
        assert server.rewritten is None
        assert len([path for path, _ in server.asked("listSegments") if "cursor" not in path]) == 2
    assert readers_see(tmp_path) == history.exist()


def test_a_damaged_block_is_fetched_again_and_then_counted(tmp_path: Path) -> None:
    history = History(TODAY - 3, 2).grow(days=3, a_day=60)
    stored = segments_of(events_of(history), 300, block_events=50)
    data = bytearray(stored[0].data)
    data[300:310] = b"\0" * 10
    stored[0] = StoredSegment(stored[0].name, bytes(data))
    with ArchiveServer(stored) as server:
        result = backfill(tmp_path, server, "--days", "3")
        assert len(server.asked("getSegment")) == 2
    assert result.returncode == 0, result.stderr
    assert "fetching it again" in result.stderr
    assert "bad_block 1" in result.stderr
    found = readers_see(tmp_path)
    assert found and len(history.exist() - found) <= 50


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_right_key_it_says_so(tmp_path: Path, key: str) -> None:
    with ArchiveServer([]) as server:
        result = backfill(tmp_path, server, "--days", "3", key=key)
    assert result.returncode == 1
    assert "--key-file or FORYOU_ARCHIVE_KEY" in result.stderr.splitlines()[-1]


def test_the_key_is_neither_stored_nor_told(tmp_path: Path) -> None:
    history = History(TODAY - 2, 2).grow(days=2, a_day=40)
    secret = "key-" + "".join(random.Random(1).choices("abcdef", k=20))
    key_file = tmp_path / "key"
    key_file.write_text(f"  {secret}\n")
    key_file.chmod(0o644)
    data = tmp_path / "data"
    with ArchiveServer(segments_of(events_of(history), 50), key=secret, faults=["500", "cut:5"]) as server:
        result = backfill(data, server, "--days", "2", "--key-file", str(key_file), key="")
        assert result.returncode == 0, result.stderr
        assert "other users can read" in result.stderr
        server.key = "another"
        refused = backfill(data, server, "--days", "3", "--key-file", str(key_file), key="")
    assert refused.returncode == 1
    assert secret not in result.stderr + result.stdout + refused.stderr + refused.stdout
    for path in data.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_key_goes_over_no_open_line() -> None:
    with pytest.raises(BackfillError, match="not https"):
        Archive("http://archive.example.com", "key")
    Archive("http://archive.example.com", None)
    Archive("http://localhost:1", "key")
    Archive("https://archive.example.com", "key")


@pytest.mark.parametrize("content", ["", "two words", "söme", "a\nb"])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with ArchiveServer([]) as server:
        result = backfill(tmp_path, server, "--days", "3", "--key-file", str(tmp_path / "key"))
    assert result.returncode == 1
    assert str(tmp_path / "key") in result.stderr.splitlines()[-1]


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    history = History(TODAY - 2, 2).grow(days=2, a_day=40)
    stored = segments_of(events_of(history), 1)
    for segment in stored:  # each says that it holds four billion events
        segment.data = segment.data[:18] + b"\xff\xff\xff\xff" + segment.data[22:]
    with ArchiveServer(stored) as server:
        result = backfill(tmp_path, server, "--days", "2")
        assert server.asked("getSegment") == []
    assert result.returncode == 1
    assert re.search(r"has .* free, but this needs about .* TB", result.stderr.splitlines()[-1])


def test_listings_that_are_rubbish(tmp_path: Path) -> None:
    good = segments_of(History(TODAY - 2, 2).grow(days=2, a_day=40).events, 50)[0]
    entries = [
        good.entry(0),
        {**good.entry(0), "name": "../../etc/passwd"},
        {**good.entry(0), "name": None},
        {**good.entry(0), "checksum": "a/b"},
        {**good.entry(0), "sizeBytes": "1"},
        {**good.entry(0), "minWitnessedAt": 10**18},
        "segment",
    ]
    with ArchiveServer([good]) as server, Archive(server.url, server.key, wait=lambda _: None) as archive:
        server._list = lambda request, _query: server._send(request, 200, {"segments": entries})  # type: ignore[method-assign]
        assert [segment.name for segment in archive.segments()] == [good.name]
        for page in ({"segments": {}}, [], {"segments": [], "cursor": "same"}, b"<html>"):
            server._list = lambda request, _query, page=page: server._send(request, 200, page)  # type: ignore[method-assign,misc]
            with pytest.raises(BackfillError):
                archive.segments()


def test_an_archive_that_is_down_is_given_up(tmp_path: Path) -> None:
    waits: list[float] = []
    with ArchiveServer([]) as server:
        url = server.url
    with (
        Archive(url, None, wait=waits.append) as archive,
        pytest.raises(BackfillError, match="run the same command"),
    ):
        archive.fetch(Segment("seg_0.jss", "ab", 5, 1, 1, 1), tmp_path)
    assert waits == sorted(waits) and len(waits) == 7
