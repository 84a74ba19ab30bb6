"""Likes numbered many at a time say what each of them says alone."""

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.identifiers import is_did, parse_post_uri, tid_at, tid_from_int
from pipeline.ingest.operations import add_like
from pipeline.ingest.plain_likes import LikeTexts, add_likes
from pipeline.store.events import EventBatch
from pipeline.store.model import DAY_US

NOW = 1_779_719_009_132_431
LIKER, AUTHOR = "did:plc:mcc5yghbk7tixqryac2yxku7", "did:plc:vfnmgxg2yscfliemmcxzyfyh"
KEY = tid_from_int(tid_at(NOW, 12))
URI = f"at://{AUTHOR}/app.bsky.feed.post/{KEY}"
GOOD: LikeTexts = (LIKER, KEY, KEY, URI, NOW)


def one_by_one(likes: list[LikeTexts]) -> EventBatch:
    batch = EventBatch()
    for liker, rkey, rev, uri, seen_us in likes:
        if is_did(liker):
            add_like(liker, seen_us, rev, rkey, "create", parse_post_uri(uri) or "like_of_no_post", batch)
        else:
            batch.drop("bad_did")
    return batch


def add_at_places(likes: list[LikeTexts], batch: EventBatch) -> None:
    """Add likes whose times stand elsewhere, in another order."""
    seen = [like[4] for like in likes][::-1]
    add_likes([(*like[:4], len(likes) - 1 - place) for place, like in enumerate(likes)], seen, batch)


def check(likes: list[LikeTexts]) -> None:
    batch, wanted = EventBatch(), one_by_one(likes)
    add_at_places(likes, batch)
    assert sorted(batch.likes) == sorted(wanted.likes)
    assert sorted(batch.unlikes) == sorted(wanted.unlikes)
    assert batch.counts == wanted.counts


def text(usual: str) -> st.SearchStrategy[str]:
    """Return texts like one: itself most of the time, one character changed, longer, shorter, another."""
    place = st.integers(0, len(usual) - 1)
    character = st.sampled_from(" :/.-_1289abjkzAZ\0é٣\U0001f600") | st.characters(exclude_categories=["Cs"])
    return st.one_of(
        st.just(usual),
        st.just(usual),
        st.builds(lambda at, new: usual[:at] + new + usual[at + 1 :], place, character),
        st.builds(lambda at: usual[:at] + usual[at + 1 :], place),
        st.builds(lambda at, new: usual[:at] + new + usual[at:], place, character),
        st.sampled_from(["", "self", "did:web:example.com", "at://x/app.bsky.feed.generator/y", "~" * 600]),
    )


likes = st.tuples(
    text(LIKER),
    text(KEY),
    text(KEY),
    text(URI),
    st.sampled_from([NOW, NOW + DAY_US, NOW // DAY_US * DAY_US - 1]),
)


@given(st.lists(likes, max_size=8))
@example([])
@example([GOOD, (LIKER + " ", KEY[:-1], KEY, URI, NOW)])  # as long as a good one, and cut elsewhere
@example([(LIKER, "z" * 13, KEY, URI, NOW), (LIKER, KEY, "j" + KEY[1:], URI, NOW)])
@example([(LIKER, KEY, KEY, URI[:-13] + "b" + "z" * 12, NOW), (LIKER, KEY, KEY, URI[:-13] + "c" * 13, NOW)])
def test_many_at_once_say_what_each_says(texts: list[LikeTexts]) -> None:
    check(texts)


def test_all_characters_at_every_place() -> None:
    for place in range(4):
        usual = str(GOOD[place])
        for at in range(len(usual)):
            changed = [usual[:at] + chr(code) + usual[at + 1 :] for code in range(300)]
            check([(*GOOD[:place], word, *GOOD[place + 1 :]) for word in changed])  # type: ignore[arg-type]


def test_good_ones_are_in_order() -> None:
    batch, many = EventBatch(), [(LIKER, tid_from_int(tid_at(NOW, n)), KEY, URI, NOW + n) for n in range(100)]
    add_at_places(many, batch)
    assert batch.likes == one_by_one(many).likes
    assert batch.counts == {("event", "like"): 100}
    assert all(type(value) in (str, int) for like in batch.likes for value in like)
