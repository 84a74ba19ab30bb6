"""The page on which a reader without likes picks where to begin, and what follows on the page that is theirs."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
from serving_worlds import post_uri
from streams import wait_until
from test_me import Place
from test_me import place as place

from serving.pages.first_list import DUE_US
from serving.viewers.picks import PICKS_MAX, save_picks
from sql import places

ENGLISH = [[post_uri(1), post_uri(2), post_uri(3)], [post_uri(4), post_uri(5)]]
GERMAN = [[post_uri(6), post_uri(7)]]


def offer(place: Place, language: str, communities: Sequence[Sequence[str]]) -> None:
    """Store communities of a language, as the batch does."""
    with closing(sqlite3.connect(places.serving(place.data_dir))) as store:
        feed_id = store.execute("SELECT feed_id FROM feeds").fetchone()[0]
        for number, posts in enumerate(communities, 1):
            for at, uri in enumerate(posts, 1):
                row = (feed_id, language, number, at, number * 10 + at, at, uri)
                store.execute("INSERT INTO communities VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        store.commit()


def offered(place: Place, languages: str = "") -> list[str]:
    """Return the posts that may be picked, as the page names them."""
    text = place.browser.get("/start", **{"Accept-Language": languages}).text
    return re.findall(r'name="post" value="([^"]+)"', text)


def picked(place: Place) -> set[str]:
    return {uri for (uri,) in place.rows("SELECT post_uri FROM interactions WHERE event = 'pick'")}


def pick(place: Place, **fields: object) -> int:
    answer = place.browser.post("/start", {"proof": place.browser.proof(), **fields})
    return int(answer.status[:3])


def test_the_page_offers_the_communities_of_the_readers_languages(place: Place) -> None:
    assert place.feed.simulate_get("/start").headers["Location"] == "/sign-in"
    assert "nothing to pick from yet" in place.browser.get("/start").text
    offer(place, "", [*ENGLISH, *GERMAN])
    offer(place, "en", ENGLISH)
    offer(place, "de", GERMAN)
    assert offered(place, "en-US,en;q=0.5") == ENGLISH[0] + ENGLISH[1] + []
    assert offered(place, "de;q=0.9, en") == GERMAN[0] + ENGLISH[0] + ENGLISH[1]
    assert offered(place, "xx") == offered(place, "") == ENGLISH[0] + ENGLISH[1] + GERMAN[0]
    place.save(languages="de")
    assert offered(place, "en") == GERMAN[0]  # what they set counts, not what the browser says


def test_what_is_picked_is_kept_shown_and_taken_back(place: Place) -> None:
    offer(place, "", [*ENGLISH, *GERMAN])
    assert "Few likes yet?" in place.browser.get("/me").text
    assert pick(place, community=" ".join(ENGLISH[1]), post=[post_uri(1), post_uri(6)]) == 303
    expected = {*ENGLISH[1], post_uri(1), post_uri(6)}
    assert picked(place) == expected
    page = place.browser.get("/me").text
    assert "You picked 4 posts" in page
    assert "Your list is being made" in page  # it is from before the picks
    assert f'value="{post_uri(6)}" checked' in place.browser.get("/start").text
    place.clock.at += DUE_US / 1e6
    assert "Your list is ready" in place.browser.get("/me").text
    known = place.browser.get("/me/known.json")
    if known.status_code == 200:  # a busy machine has no time for it
        assert [each["event"] for each in known.json["interactions"]] == ["picked"] * 4
    proof = place.browser.proof()
    assert place.browser.post("/me/take-back", {"proof": proof, "post": post_uri(1)}).status_code == 303
    assert picked(place) == expected - {post_uri(1)}
    assert place.browser.post("/me/take-picks-back", {"proof": proof}).status_code == 303
    assert picked(place) == set()
    assert place.rows("SELECT viewer_did FROM taken_back") == [(place.ann.did,)]
    assert place.browser.post("/me/forget", {"proof": proof, "sure": "1"}).status_code == 303
    assert place.rows("SELECT count(*) FROM taken_back") == [(0,)]


@pytest.mark.parametrize(
    "fields", [{}, {"post": "at://did:plc:nobody/app.bsky.feed.post/3aaaaaaaaaaaa"}, {"community": "  "}]
)
def test_nothing_or_posts_that_were_not_offered_are_not_saved(place: Place, fields: dict[str, str]) -> None:
    offer(place, "", ENGLISH)
    answer = place.browser.post("/start", {"proof": place.browser.proof(), **fields})
    assert answer.status_code == 400
    assert "pick at least one" in answer.text
    assert picked(place) == set()


def test_nobody_picks_for_somebody_else_or_by_the_feeds_own_methods(place: Place) -> None:
    offer(place, "", ENGLISH)
    proof = place.browser.proof()
    fields = {"proof": proof, "post": post_uri(1)}
    elsewhere = place.browser.post("/start", fields, {"Origin": "https://evil.example"})
    assert elsewhere.status_code == 403
    assert place.browser.post("/start", {"post": post_uri(1)}).status_code == 403
    place.report("pick", post_uri(1))  # unknown to the lexicon
    place.report("requestMore", post_uri(2))
    wait_until(lambda: place.rows("SELECT count(*) FROM interactions") == [(1,)])
    assert picked(place) == set()


def test_a_reader_has_so_many_picks_at_most(place: Place) -> None:
    path = places.activity(place.data_dir)
    for first in range(3):
        uris = [post_uri(first * 100 + number) for number in range(80)]
        save_picks(path, place.ann.did, uris, "for-you", first, known=False)
    assert len(picked(place)) == PICKS_MAX
    assert {post_uri(200 + number) for number in range(80)} <= picked(place)
