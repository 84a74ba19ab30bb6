"""A feed that is somebody's own: settings on the next page, pause, what is known, taking back, deleting."""

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from authorization_server import AuthorizationServer, authorization_server
from batch_tools import settings_for
from browser_client import PORT, Browser
from falcon.testing import TestClient
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
    directory,
    plc_did,
    post_uri,
)
from streams import wait_until
from worlds import World

from pipeline.batch import jobs
from pipeline.operate.viewer.forget import forget_requested
from pipeline.ranking import OWN_PARAMETERS, Ranking, with_own
from serving.app import create_app
from serving.budgets.limits import Bounds, ByClass
from serving.pages.recipe import OWN_CHOICES, read_own
from serving.sign_in.session_store import SESSION_SECONDS
from serving.viewers.activity_writer import ActivityWriter
from serving.viewers.forgotten import forget_activity
from serving.viewers.own_settings import OwnSettings, SettingsNotSavedError, SettingsStore
from sql import places, sqlite

POSTS = range(1, 31)
AUTHOR = plc_did(3)


@dataclass
class Place:
    """A web app with ANN, who is signed in at the pages and opens the feed in her app."""

    ann: Account
    browser: Browser
    feed: TestClient
    activity: ActivityWriter
    clock: Clock
    data_dir: Path
    server: AuthorizationServer

    def page(self, limit: int = 30, signed: bool = True) -> list[str]:
        """Open the feed; return its posts."""
        headers = bearer(self.ann.token(now=self.clock())) if signed else {}
        answer = self.feed.simulate_get(SKELETON, params={"feed": FEED, "limit": limit}, headers=headers)
        assert answer.status_code == 200, answer.text
        return [item["post"] for item in answer.json["feed"]]

    def report(self, event: str, *posts: str) -> None:
        """Report events as the app does."""
        interactions = [{"item": post, "event": f"app.bsky.feed.defs#{event}"} for post in posts]
        token = self.ann.token("app.bsky.feed.sendInteractions", now=self.clock())
        answer = self.feed.simulate_post(
            INTERACTIONS, json={"interactions": interactions}, headers=bearer(token)
        )
        assert answer.status_code == 200, answer.text

    def save(self, **fields: Any) -> str:
        """Save the form; return what the page says is wrong."""
        sent = {"proof": self.browser.proof(), "seen": "last", "hidden_authors": ""} | fields
        answer = self.browser.post("/me/settings", sent)
        if answer.status_code == 303:
            return ""
        found = re.search(r'role="alert">([^<]+)<', answer.text)
        return found[1] if found else answer.text

    def rows(self, query: str) -> list[Any]:
        """Return rows of activity.sqlite, none before it has its tables."""
        if not sqlite.has_tables(places.activity(self.data_dir), "forget_requests"):
            return []
        with closing(sqlite3.connect(places.activity(self.data_dir))) as store:
            return store.execute(query).fetchall()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    ann, clock = Account(plc_did(1)), Clock()
    store = ServingStore(places.serving(tmp_path))
    store.posts([*POSTS, *range(100, 110)])
    store.publish(1, {ann.did: blob(POSTS)}, {"": blob(range(100, 110))})
    with directory() as plc, authorization_server() as server:
        service = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": server.origin,
        }
        plc.answers[f"/{ann.did}"] = (200, json.dumps({"id": ann.did, "service": [service]}).encode())
        known = (sys.executable, "-m", "pipeline.cli", "viewer", "--data-dir", str(tmp_path), "export")
        why = (*known[:3], "explain", "--why", "--json", "-", "--data-dir", str(tmp_path / "ranked"))
        config = config_of(
            tmp_path, plc.url, hostname=f"localhost:{PORT}", pages="public", known=known, explain=why
        )
        activity = ActivityWriter(config.activity_path, now=clock)
        app = create_app(config, now=clock, resolver=OneAccount(ann), activity=activity)
        browser = Browser(app)
        browser.get(server.agree(browser.begin(ann.did)))
        yield Place(ann, browser, TestClient(app), activity, clock, tmp_path, server)
        assert activity.close(60)


USUAL = [post_uri(post) for post in POSTS]


def test_seen_posts_go_where_their_reader_wants_them(place: Place) -> None:
    assert place.page() == USUAL
    place.report("interactionSeen", *USUAL[:10])
    behind = USUAL[10:] + USUAL[:10]  # shown ones, then seen ones
    assert place.page() == behind
    for seen, expected in (("hidden", USUAL[10:]), ("in place", USUAL), ("last", behind)):
        assert place.save(seen=seen) == ""
        assert place.page() == expected
    assert place.save(seen="nonsense") == ""
    assert place.page() == behind


def test_hidden_authors_are_on_no_page(place: Place) -> None:
    assert any(AUTHOR in post for post in USUAL)
    assert place.save(hidden_authors=f"{AUTHOR}\n {AUTHOR}, {plc_did(4)}") == ""
    rest = [post for post in USUAL if AUTHOR not in post and plc_did(4) not in post]
    assert place.page() == rest
    assert place.page(limit=1) == rest[:1]  # a poll
    page = place.browser.get("/me").text
    assert page.count(AUTHOR) >= 1
    assert place.save(usual="1") == ""
    assert set(place.page()) == set(USUAL)


def test_a_page_has_the_languages_and_media_that_its_reader_wants(place: Place) -> None:
    contents = [("en" if post % 2 else "de,fr", 8 if post % 3 else 16, post) for post in POSTS[:-2]]
    with closing(sqlite3.connect(places.serving(place.data_dir))) as store:
        store.executemany("UPDATE posts SET langs = ?, media = ? WHERE post_id = ?", contents)
        store.execute("UPDATE posts SET langs = '' WHERE post_id = 2")
        store.commit()
    unknown = {post_uri(post) for post in POSTS[-2:]}  # of an earlier version: shown
    assert place.save(languages="EN, pt") == ""
    english = {post_uri(post) for langs, _, post in contents if langs == "en" or post == 2}
    assert set(place.page()) == english | unknown
    assert place.save(media="16") == ""
    assert set(place.page()) == {post_uri(post) for _, media, post in contents if media == 16} | unknown
    assert place.save(languages="fr", media="8") == ""
    both = {post_uri(post) for langs, media, post in contents if langs != "en" and media == 8}
    assert set(place.page()) == both | unknown
    assert "two or three letters" in place.save(languages="english")
    assert set(place.page(limit=5)) <= both | unknown


def test_parameters_of_ones_own_are_saved_and_leave_the_next_page_as_it_is(place: Place) -> None:
    chosen = {"half_life_hours": "3", "popularity_exponent": "0.2", "max_neighbours": "30"}
    assert place.save(**chosen, max_per_author="4", author_spacing="drop") == ""  # no positions: as usual
    own = SettingsStore(places.activity(place.data_dir)).of(place.ann.did)
    assert own.ranking == {"half_life_hours": 3, "popularity_exponent": 0.2, "max_neighbours": 30}
    assert place.rows("SELECT json_extract(settings, '$.ranking') FROM viewer_settings") == [
        ('{"half_life_hours":3,"popularity_exponent":0.2,"max_neighbours":30}',)
    ]
    page = place.browser.get("/me").text
    for choice in OWN_CHOICES:
        menu = page[page.index(f'name="{choice.name}"') :]
        selected = re.search(r'value="([^"]*)" selected', menu[: menu.index("</select>")])
        assert selected is not None
        assert selected[1] == chosen.get(choice.name, "")
    assert place.page() == USUAL
    assert place.save(usual="1") == ""
    assert place.rows("SELECT count(*) FROM viewer_settings") == [(0,)]


def test_each_position_is_one_that_the_batch_takes() -> None:
    assert [choice.name for choice in OWN_CHOICES] == list(OWN_PARAMETERS)
    for choice in OWN_CHOICES:
        for text, _ in choice.options[1:]:
            own = read_own({choice.name: text})
            assert getattr(with_own(Ranking(), own), choice.name) == own[choice.name] == float(text)
    age, fame = (len(choice.options) for choice in OWN_CHOICES[:2])
    assert age * fame <= 30  # scales of all posts that the batch may keep


def test_whoever_is_signed_in_sees_their_own_list_with_their_own_parameters(
    place: Place,
) -> None:
    """Everybody else sees what follows from public likes, by the feed's parameters."""
    ann, made = place.ann.did.removeprefix("did:plc:"), World()
    for name in (ann, "bob", "cat"):
        made.like(name, "old", hours_ago=90)
    for number in range(4):
        made.post(f"q{number}", by="dan", hours_ago=1 + number).like("bob", f"q{number}", hours_ago=0.5)
    data_dir = made.sets(ann, max_per_author=2, author_spacing=0).write(place.data_dir / "ranked")
    jobs.run(settings_for(data_dir), "all")
    address = f"/why?viewer={place.ann.did}"
    mine, others = (
        place.browser.get(address).text,
        place.feed.simulate_get("/why", query_string=address[5:]).text,
    )
    for page, posts, usual in ((mine, 2, "2"), (others, 1, "3")):
        assert page.count('class="place"') == posts
        assert re.search(f'name="max_per_author"[^>]* data-usual="{usual}"', page)


def test_what_can_not_be_saved(place: Place) -> None:
    assert "neither a handle" in place.save(hidden_authors="handle!")
    assert "at most 100 accounts" in place.save(
        hidden_authors=" ".join(plc_did(number) for number in range(101))
    )
    assert "be looked up" in place.save(hidden_authors="a.example.com")  # nobody is there to ask
    assert place.page() == USUAL
    assert SettingsStore(places.activity(place.data_dir)).of(place.ann.did) == OwnSettings()


def test_whoever_pauses_leaves_nothing_behind(place: Place) -> None:
    place.page()
    place.report("requestMore", USUAL[0])
    wait_until(lambda: place.activity.written >= 3)
    before = [
        place.rows(f"SELECT * FROM {table}") for table in ("visits", "interactions", "impression_pages")
    ]
    assert place.save(paused="1") == ""
    assert place.page() == place.page(signed=False) == [post_uri(post) for post in range(100, 110)]
    place.report("requestLess", post_uri(100))
    assert place.activity.close(60)
    after = [place.rows(f"SELECT * FROM {table}") for table in ("visits", "interactions", "impression_pages")]
    assert after == before
    assert place.rows("SELECT is_paused FROM viewer_settings") == [(1,)]
    assert place.save(usual="1") == ""
    assert set(place.page()) == set(USUAL)


def test_whoever_sets_something_is_in_no_experiment(place: Place) -> None:
    with closing(sqlite3.connect(places.serving(place.data_dir))) as store:
        store.execute("INSERT INTO variants VALUES (1, 'age/young')")
        store.commit()
    place.page()
    place.save(seen="in place")
    place.page()
    wait_until(lambda: place.activity.written >= 4)
    variants = place.rows("SELECT variant FROM impression_pages ORDER BY page_id")
    assert variants == [("age/young",), ("",)]


def test_an_answer_is_taken_back(place: Place) -> None:
    place.page()
    place.report("requestLess", USUAL[0])
    hidden = place.page()
    assert USUAL[0] not in hidden
    wait_until(lambda: place.rows("SELECT count(*) FROM interactions") == [(1,)])
    page = place.browser.get("/me").text
    assert "Show less" in page
    answer = place.browser.post("/me/take-back", {"proof": place.browser.proof(), "post": USUAL[0]})
    assert answer.status_code == 303
    assert USUAL[0] in place.page()
    assert "Take back" not in place.browser.get("/me").text


def test_what_is_known_is_shown_and_downloaded(place: Place) -> None:
    place.page()
    place.report("requestMore", USUAL[1])
    place.save(hidden_authors=AUTHOR)
    wait_until(lambda: place.activity.written >= 3)
    page = place.browser.get("/me").text
    assert "1 page, last 0 s ago" in page
    assert "<dd>30</dd>" in page
    known = place.browser.get("/me/known.json")
    assert "attachment" in known.headers["Content-Disposition"]
    assert known.json["did"] == place.ann.did
    assert [each["post"] for each in known.json["shown"]] == USUAL
    assert [each["event"] for each in known.json["interactions"]] == ["show more"]
    assert known.json["settings"]["hidden_authors"] == [AUTHOR]
    assert place.feed.simulate_get("/me/known.json").status_code == 401


def test_deleting_is_at_once_and_then_for_good(place: Place) -> None:
    place.page()
    place.report("requestLess", USUAL[0])
    place.save(hidden_authors=AUTHOR)
    wait_until(lambda: place.activity.written >= 3)
    refused = place.browser.post("/me/forget", {"proof": place.browser.proof()})
    assert refused.status_code == 400
    answer = place.browser.post("/me/forget", {"proof": place.browser.proof(), "sure": "1"})
    assert answer.headers["Location"] == "/"
    assert place.browser.signed_in_as() is None
    for table in ("visits", "interactions", "impression_pages", "takers", "viewer_settings"):
        assert place.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    place.clock.at += 60
    assert place.page() == USUAL  # nothing is hidden or seen any more
    wait_until(lambda: place.rows("SELECT count(*) FROM visits") == [(1,)])
    path = places.activity(place.data_dir)
    forget_requested(place.data_dir, lambda did, at_us: forget_activity(path, did, at_us))
    assert place.rows("SELECT count(*) FROM forget_requests") == [(0,)]
    assert place.rows("SELECT count(*) FROM visits") == [(1,)]  # came after it
    with closing(sqlite3.connect(places.serving(place.data_dir))) as store:
        assert store.execute("SELECT count(*) FROM viewers").fetchone() == (0,)


def test_newcomers_settings_have_so_much_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "serving.viewers.own_settings.SETTINGS_KEPT", ByClass(Bounds(1, 9, 9), Bounds(1, 2, 4))
    )
    store, own = SettingsStore(tmp_path / "activity.sqlite"), OwnSettings(seen="hidden")
    for name in ("a.evil.com", "b.evil.com"):
        store.save(f"did:web:{name}", own, known=False)
    with pytest.raises(SettingsNotSavedError, match="no room"):
        store.save("did:web:c.evil.com", own, known=False)
    store.save("did:web:a.evil.com", OwnSettings(is_paused=True), known=False)  # whoever has a row keeps it
    store.save(plc_did(1), own, known=False)
    store.save(plc_did(2), own, known=False)
    with pytest.raises(SettingsNotSavedError, match="no room"):
        store.save(plc_did(3), own, known=False)
    store.save(plc_did(3), own, known=True)
    assert store.of(plc_did(3)) == own
    assert store.of("did:web:a.evil.com").is_paused


def test_the_page_of_retention_says_what_holds(place: Place) -> None:
    text = re.sub(r"<[^>]+>", "", place.feed.simulate_get("/retention").text)
    assert f"{places.ACTIVITY_DAYS} days" in text
    assert f"{SESSION_SECONDS / 3600:.0f} hours" in text
