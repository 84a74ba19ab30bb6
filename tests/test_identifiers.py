"""Identifiers: TIDs and URIs to integers and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identifiers import (
    is_did,
    parse_post_uri,
    post_uri,
    rkey_to_int,
    tid_at,
    tid_from_int,
    tid_time_us,
    tid_to_int,
)

DID = "did:plc:vfnmgxg2yscfliemmcxzyfyh"


def test_a_known_tid() -> None:
    assert tid_to_int("3mmoojp7etg2g") == 1822432265069441036
    assert tid_time_us(1822432265069441036) == 1_779_719_008_856_876
    assert tid_at(1_779_719_008_856_876, 12) == 1822432265069441036


@given(st.integers(0, 2**63 - 1))
def test_tids_round_trip(number: int) -> None:
    assert tid_to_int(tid_from_int(number)) == number
    assert rkey_to_int(tid_from_int(number)) == number


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_tids_sort_as_their_numbers(one: int, other: int) -> None:
    assert (one < other) == (tid_from_int(one) < tid_from_int(other))


@pytest.mark.parametrize(
    "text", ["", "self", "3mmoojp7etg2", "zmmoojp7etg2g", "3mmoojp7etg2g2", "3MMOOJP7ETG2G", "3mmoojp7etg2١"]
)
def test_what_is_no_tid(text: str) -> None:
    assert tid_to_int(text) is None


@given(st.from_regex(r"[A-Za-z0-9._:~-]{1,30}", fullmatch=True))
def test_other_rkeys_are_negative_and_stable(text: str) -> None:
    number = rkey_to_int(text)
    if text in {".", ".."}:
        assert number is None
    elif tid_to_int(text) is None:
        assert number is not None
        assert -(2**63) <= number < 0
        assert rkey_to_int(text) == number
        assert rkey_to_int(text + "~") != number


@pytest.mark.parametrize("rkey", [None, 7, "", "a/b", "a b", ".", "..", "é", "x" * 513, ["self"]])
def test_what_is_no_rkey(rkey: object) -> None:
    assert rkey_to_int(rkey) is None


@given(st.integers(0, 2**63 - 1))
def test_post_uris_round_trip(rkey: int) -> None:
    assert parse_post_uri(post_uri(DID, rkey)) == (DID, rkey)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        "",
        f"at://{DID}",
        f"at://{DID}/app.bsky.feed.generator/3mmoojp7etg2g",
        f"at://{DID}/app.bsky.feed.post/self",
        f"at://{DID}/app.bsky.feed.post/3mmoojp7etg2g/",
        f"at://{DID}/app.bsky.feed.post/3mmoojp7etg2g?x=1",
        f" at://{DID}/app.bsky.feed.post/3mmoojp7etg2g",
        f"at://{DID}/app.bsky.feed.post/3mmoojp7etg2g\n",
        f"AT://{DID}/app.bsky.feed.post/3mmoojp7etg2g",
        "at://alice.example.com/app.bsky.feed.post/3mmoojp7etg2g",
        "https://bsky.app/profile/x/post/3mmoojp7etg2g",
    ],
)
def test_what_is_no_post_uri(uri: object) -> None:
    assert parse_post_uri(uri) is None


LONGEST_WEB = "did:web:" + ".".join(["a" * 63] * 3 + ["b" * 61]) + "%3A65535"  # a host of 253 characters


@pytest.mark.parametrize("did", [DID, "did:web:example.com", "did:web:localhost%3A3000", LONGEST_WEB])
def test_dids(did: str) -> None:
    assert is_did(did)


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:",
        "did:plc:",
        "DID:plc:x",
        "did:web:a.com/x",
        "did:plc:x:",
        "did:é:x",
        None,
        3,
        "did:plc:" + "x" * 2048,
        DID + "a",
        "did:web:" + "a." * 130 + "example",
    ],
)
def test_what_is_no_did(did: object) -> None:
    assert not is_did(did)


@pytest.mark.parametrize("text", ["czzzzzzzzzzzz", "j222222222222", "jzzzzzzzzzzzz"])
def test_a_key_whose_number_has_64_bits_is_no_tid(text: str) -> None:
    """The syntax allows it, and anybody may write a record under it; a 64-bit store could not take the number."""
    assert tid_to_int(text) is None
    number = rkey_to_int(text)
    assert number is not None
    assert -(2**63) <= number < 0
    assert parse_post_uri(f"at://did:plc:vfnmgxg2yscfliemmcxzyfyh/app.bsky.feed.post/{text}") is None
    assert tid_to_int("bzzzzzzzzzzzz") == 2**63 - 1


@given(st.text(max_size=14) | st.text("234567abcdefghijklmnopqrstuvwxyz_ +-0189Aé", min_size=12, max_size=14))
def test_only_what_the_syntax_allows_is_a_tid(text: str) -> None:
    allowed = re.fullmatch("[2-7ab][2-7a-z]{12}", text, re.ASCII) is not None
    assert (tid_to_int(text) is not None) == allowed


@given(
    st.sampled_from(["did:plc:", "did:web:", "did:PLC:", "did:"]),
    st.text("abcABC234.:%-_é²/ ", min_size=1, max_size=30).map(lambda text: (text * 24)[:24]),
)
def test_the_quick_look_at_a_did_agrees_with_its_syntax(method: str, rest: str) -> None:
    did = method + rest
    syntax = r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"
    assert is_did(did) == (re.fullmatch(syntax, did, re.ASCII) is not None)
