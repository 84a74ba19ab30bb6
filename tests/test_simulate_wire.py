"""The encodings of the simulator agree with pipeline.identifiers and with the formats they imitate."""

import base64

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identifiers import is_did, tid_from_int
from pipeline.simulate import text_columns
from pipeline.simulate.randomness import hashed

NUMBERS = st.lists(st.integers(0, 2**62 - 1), min_size=1, max_size=20)


@given(NUMBERS)
def test_tids_are_those_of_identifiers(numbers: list[int]) -> None:
    assert text_columns.texts(text_columns.tid_matrix(np.array(numbers))) == [
        tid_from_int(number) for number in numbers
    ]


@given(NUMBERS)
def test_dids_are_valid_and_differ(numbers: list[int]) -> None:
    dids = text_columns.texts(text_columns.did_matrix(hashed(1, np.array(numbers))))
    assert all(is_did(did) and len(did) == 32 for did in dids)
    assert len(set(dids)) == len(set(numbers))


@given(NUMBERS)
def test_cids_decode_to_cid_version_1_dag_cbor_sha_256(numbers: list[int]) -> None:
    for cid in text_columns.texts(text_columns.cid_matrix(hashed(2, np.array(numbers)))):
        decoded = base64.b32decode(cid[1:].upper() + "=" * (-(len(cid) - 1) % 8))
        assert decoded[:4] == b"\x01\x71\x12\x20"
        assert len(decoded) == 36
        assert base64.b32encode(decoded).decode().lower().rstrip("=") == cid[1:]


def test_times_are_written_to_the_microsecond_and_the_millisecond() -> None:
    times = np.array([1_783_175_888_085_434])
    assert text_columns.texts(text_columns.time_matrix(times)) == ["1783175888085434"]
    assert text_columns.texts(text_columns.iso_matrix(times)) == ["2026-07-04T14:38:08.085Z"]


def test_fixed_line_fills_each_field() -> None:
    line = text_columns.FixedLine('{"a":<time>,"b":"<rev>"}', {"time": 16, "rev": 13})
    columns = {
        "time": text_columns.time_matrix(np.array([1, 2])),
        "rev": text_columns.tid_matrix(np.array([0, 1])),
    }
    assert line.lines(2, columns) == [
        b'{"a":0000000000000001,"b":"2222222222222"}',
        b'{"a":0000000000000002,"b":"2222222222223"}',
    ]
