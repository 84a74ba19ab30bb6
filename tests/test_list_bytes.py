"""The bytes of a list: what the batch writes, what the web app reads."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from list_bytes import Entry, blob, unpack
from serving_worlds import ServingStore, plc_did

from pipeline.batch.publish import list_packing
from serving.lists import list_bytes

POSTS = st.integers(0, 2**32 - 1) | st.integers(20_000_000, 20_700_000)
SCORES = st.floats(min_value=0, max_value=1e6, width=32, allow_subnormal=False)
COUNTS = st.integers(0, 300) | st.integers(0, 70_000)
ITEMS = st.lists(st.tuples(POSTS, SCORES, COUNTS), max_size=40)


def pack(*given: Sequence[tuple[int, float, int]]) -> list[bytes]:
    """Pack lists of (post_id, score, co_likers) as the batch does."""
    flat = [item for items in given for item in items]
    columns: list[Any] = [list(column) for column in zip(*flat, strict=True)] or [[], [], []]
    return list_packing.pack(
        np.cumsum([0, *map(len, given)]),
        np.array(columns[0], np.int64),
        np.array(columns[1], np.float32),
        np.array(columns[2], np.int32),
    )


def close(entries: Sequence[Entry], wanted: Sequence[tuple[int, float, int]]) -> bool:
    """Tell whether all is equal, and scores as near as the span of the list's scores lets them be."""
    positive = [score for _, score, _ in wanted if score > 0]
    span = math.log(max(positive) / min(positive)) if positive else 0.0
    near = span / (1 << 21) * 1.01 + 2e-7
    return len(entries) == len(wanted) and all(
        entry[0] == post
        and abs(entry[1] - score) <= near * score
        and entry[2:] == (min(count, 65_535), 1 if count else 2)
        for entry, (post, score, count) in zip(entries, wanted, strict=True)
    )


@settings(deadline=None)  # the first one compiles
@given(st.lists(ITEMS, max_size=5))
@example([[(2**32 - 1, 0.0, 0), (0, 1e6, 70_000)], [], [(7, 3e-30, 1)]])
def test_what_is_packed_is_what_is_read(given: list[list[tuple[int, float, int]]]) -> None:
    for packed, items in zip(pack(*given), given, strict=True):
        assert not items or len(packed) % 11
        assert close(unpack(packed), items)
        assert close(list_bytes.items(packed, 0, 100), items)
        assert list_bytes.post_ids(packed) == tuple(post for post, _, _ in items)
        assert list_bytes.length(packed) == list_packing.length(packed) == len(items)
        assert list_bytes.stored_length(packed[: list_bytes.HEAD_BYTES], len(packed)) == len(items)


@settings(deadline=None)
@given(ITEMS, st.integers(0, 45), st.integers(0, 45), st.data())
def test_a_part_of_a_list_is_that_part(
    items: list[tuple[int, float, int]], start: int, stop: int, data: st.DataObject
) -> None:
    packed = pack(items)[0]
    whole = list_bytes.items(packed, 0, 100)
    assert list_bytes.items(packed, start, stop) == whole[start:stop]
    places = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=40)) if items else []
    assert list_bytes.items_at(packed, places) == [whole[place] for place in places]
    assert list_bytes.post_ids(packed) == tuple(item.post_id for item in whole)


@settings(deadline=None)
@given(st.lists(st.tuples(ITEMS, st.integers(0, 2**40)), max_size=4))
def test_posts_that_were_tried_are_told(given: list[tuple[list[tuple[int, float, int]], int]]) -> None:
    """Bits of a number say which posts of each list came before their turn; popular ones never do."""
    entries = [item for items, _ in given for item in items]
    tried = np.array(
        [
            bool(bits >> place & 1) and item[2] > 0
            for items, bits in given
            for place, item in enumerate(items)
        ],
        bool,
    )
    starts = np.cumsum([0, *(len(items) for items, _ in given)]).astype(np.int64)
    columns = list(zip(*entries, strict=True)) or [(), (), ()]
    arrays = [
        np.array(column, kind) for column, kind in zip(columns, (np.int64, np.float32, np.int32), strict=True)
    ]
    plain, told = list_packing.pack(starts, *arrays), list_packing.pack(starts, *arrays, tried)
    for row, (one, other) in enumerate(zip(plain, told, strict=True)):
        mine = tried[starts[row] : starts[row + 1]]
        assert (one == other) == (not mine.any())
        assert list_packing.same_posts(one, other) == (not mine.any())
        assert not other or len(other) % 11
        expected = [
            (*entry[:3], 3) if early else entry
            for entry, early in zip(unpack(one), mine.tolist(), strict=True)
        ]
        assert unpack(other) == expected
        found = list_bytes.items(other, 0, 100)
        assert [item[2:] for item in found] == [entry[2:] for entry in expected]
        assert list_bytes.items_at(other, range(len(found))[::-2]) == found[::-2]
        assert list_bytes.post_ids(other) == tuple(entry[0] for entry in expected)
        assert list_bytes.stored_length(other[: list_bytes.HEAD_BYTES], len(other)) == len(expected)


def test_the_tests_own_bytes_are_the_batchs() -> None:
    for posts, counts in (((5, 9, 7), (3, 3, 3)), ((1, 1 << 30), (0, 400)), ((8,), (0,))):
        packed = pack([(post, 1 / (1 + place), counts[place]) for place, post in enumerate(posts)])[0]
        assert blob(posts, co_likers=counts) == packed
    starts, posts = np.array([0, 9]), np.arange(1, 10)
    tried = np.arange(9) == 7
    packed = list_packing.pack(starts, posts, 1 / posts.astype(np.float32), np.full(9, 3, np.int32), tried)[0]
    assert blob(range(1, 10), sources=[3 if early else 1 for early in tried.tolist()]) == packed


def test_scores_of_a_list_are_kept_to_a_hundred_thousandth() -> None:
    scores = np.geomspace(2e-4, 3e3, 300).astype(np.float32)[::-1]
    packed = pack([(place + 1, float(score), 1) for place, score in enumerate(scores)])[0]
    read = np.array([item.score for item in list_bytes.items(packed, 0, 300)])
    assert np.abs(read / scores - 1).max() < 1e-5
    assert (np.diff(read) < 0).all()


def test_two_lists_of_300_fill_a_page(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    made = pack(
        *(
            [(post, 1.0 + post, 1 + post % 255) for post in chance.integers(1, 16_000_000, 300).tolist()]
            for _ in range(1_000)
        )
    )
    store = ServingStore(tmp_path / "serving.sqlite")
    empty = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.publish(1, {plc_did(number): items for number, items in enumerate(made)})
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0] - empty
    store.close()
    assert pages <= 500 + 60  # the rest are indexes and the viewers


def test_lists_are_the_same_when_they_show_the_same() -> None:
    one = pack([(1, 0.5, 1), (2, 0.4, 0)])[0]
    assert list_packing.same_posts(one, pack([(1, 0.25, 7), (2, 0.1, 0)])[0])
    assert list_packing.same_posts(one, pack([(1, 0.25, 700), (2, 0.1, 0)])[0])  # in two bytes
    assert not list_packing.same_posts(one, pack([(2, 0.5, 1), (1, 0.4, 0)])[0])
    assert not list_packing.same_posts(one, pack([(1, 0.5, 0), (2, 0.4, 1)])[0])
    assert not list_packing.same_posts(one, pack([(1, 0.5, 1)])[0])
    assert not list_packing.same_posts(one, pack([(11, 0.5, 1), (12, 0.4, 0)])[0])
    assert list_packing.same_posts(b"", b"")
    assert not list_packing.same_posts(one, b"")


@pytest.mark.parametrize("cut", [1, 5, 15, 30])
def test_a_damaged_list_is_an_error(cut: int) -> None:
    whole = blob(range(1, 40))
    for damaged in (whole[:-cut], whole + b"\0" * cut, b"\3" + whole[1:]):
        with pytest.raises(list_bytes.ListError):
            list_bytes.post_ids(damaged)
