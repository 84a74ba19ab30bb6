"""The pages for everybody: what the feed is, and why a list is as it is."""

import json
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from batch_tools import settings_for
from falcon.testing import Result, TestClient
from serving_worlds import ON_PAGES, Clock, ServingStore, blob, config_of, directory, plc_did
from worlds import World

from pipeline.batch import jobs
from pipeline.explore.explain_command import explain
from pipeline.explore.explain_text import as_text, list_as_text
from pipeline.explore.generation_inputs import ExplainError
from pipeline.explore.list_reasons import changes_of, recently, spaced, why, with_rules
from pipeline.settings import SettingError
from serving.app import create_app
from serving.config import ServingConfig
from serving.pages import explainer

CROWD = ("bob", "cat", "dan")


def _world() -> World:
    """ann shares two likes with three others; bob, the closest by one more, liked q1 to q6 lately, the others some."""
    made = World()
    for name in ("ann", *CROWD):
        made.like(name, "old1", hours_ago=60).like(name, "old2", hours_ago=50)
    made.like("ann", "old3", hours_ago=40).like("bob", "old3", hours_ago=41)
    for number in range(1, 7):
        made.post(f"q{number}", by=f"author{number % 5}", hours_ago=number * 2)
        made.like("bob", f"q{number}", hours_ago=number)
    made.like("cat", "q6", hours_ago=1).like("dan", "q6", hours_ago=1)
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    made = _world()
    data_dir = made.write(tmp_path_factory.mktemp("why"))
    jobs.run(settings_for(data_dir), "all")
    return data_dir, made


def test_without_changes_the_list_is_the_batchs(store: tuple[Path, World]) -> None:
    data_dir, made = store
    found = why(data_dir, 1, made.did("ann"), {}, public=False)
    listed = [item["post_uri"] for item in explain(data_dir, 1, made.did("ann")).listed]
    assert [post["post_uri"] for post in found["posts"]] == listed
    assert [post["was"] for post in found["posts"]] == list(range(1, len(listed) + 1))


def test_each_post_names_who_brought_it_and_what_they_share(store: tuple[Path, World]) -> None:
    data_dir, made = store
    found = why(data_dir, 1, made.did("ann"), {}, public=True)
    posts = {post["post_uri"]: post for post in found["posts"]}
    because = {uri: post["because"] for uri, post in posts.items()}
    assert [reason["did"] for reason in because[made.uri("q1")]] == [made.did("bob")]
    crowd = posts[made.uri("q1")]["crowd_share"]
    assert 0 < crowd < 0.1
    assert because[made.uri("q1")][0]["share"] == pytest.approx(1 - crowd)
    assert because[made.uri("q1")][0]["shared"] == 3
    assert set(because[made.uri("q1")][0]["posts"]) == {made.uri("old1"), made.uri("old2"), made.uri("old3")}
    reasons = because[made.uri("q6")]
    assert {reason["did"] for reason in reasons} == {made.did(name) for name in CROWD}
    crowd = posts[made.uri("q6")]["crowd_share"]
    assert sum(reason["share"] for reason in reasons) + crowd == pytest.approx(1)


def test_picks_are_named_to_their_reader_and_to_the_operator_alone(tmp_path: Path) -> None:
    """zoe liked nothing and picked two posts; everybody else sees no list of hers."""
    made = _world().actor("zoe").interaction("zoe", "old1", "pick").interaction("zoe", "old2", "pick")
    data_dir = made.interaction("ann", "old3", "pick").write(tmp_path)  # which she likes: a like
    jobs.run(settings_for(data_dir), "all")
    found = why(data_dir, 1, made.did("zoe"), {}, public=False)
    for post in found["posts"]:
        assert post["because"]
        assert all(reason["picked"] == reason["shared"] == 2 for reason in post["because"])
        assert all(set(reason["posts"]) == {made.uri("old1"), made.uri("old2")} for reason in post["because"])
    assert why(data_dir, 1, made.did("zoe"), {}, public=True)["posts"] == []
    assert "2 of them because the viewer picked the post" in list_as_text(found)
    assert "because the viewer picked it" in as_text(explain(data_dir, 1, made.did("zoe")))
    reasons = [post["because"] for post in why(data_dir, 1, made.did("ann"), {}, public=False)["posts"]]
    assert all(reason["picked"] == 0 for some in reasons for reason in some)


def test_fewer_neighbours_leave_more_to_the_crowd(tmp_path: Path) -> None:
    """Of a list made with one neighbour alone: the others' weight goes to the crowd, times left_out_weight."""
    made = _world()
    data_dir = made.write(tmp_path)
    jobs.run(settings_for(data_dir, {"overlap_exponent": 1.0}), "all")
    shares = {}
    for most in (1, 3):
        for weight in (0.0, 3.0):
            changes = {"max_neighbours": most, "left_out_weight": weight}
            found = why(data_dir, 1, made.did("ann"), changes, public=False)["posts"]
            shares[most, weight] = next(
                post["crowd_share"] for post in found if post["post_uri"] == made.uri("q6")
            )
    assert shares[3, 0.0] == shares[3, 3.0], "nobody is left out"
    assert shares[1, 3.0] > 2 * shares[1, 0.0]


def test_moving_a_parameter_changes_the_list(store: tuple[Path, World]) -> None:
    data_dir, made = store

    def posts(**changes: float) -> list[str]:
        return [row["post_uri"] for row in why(data_dir, 1, made.did("ann"), changes, public=False)["posts"]]

    usual = posts()
    assert posts(half_life_hours=900, like_decay_hours=900)[0] == made.uri("q6"), "the most liked one"
    assert len(posts(max_per_author=1)) == 5 < len(usual)
    assert made.uri("q6") in posts(max_neighbours=1)
    with pytest.raises(SettingError, match="half_life_hours"):
        posts(half_life_hours=0)


def test_a_language_and_media_can_be_chosen(tmp_path: Path) -> None:
    made = _world()
    for number, (langs, flags) in enumerate((("de", 0), ("en,de", 8), ("den", 16), ("", 24)), 1):
        made.post(f"r{number}", by=f"other{number}", hours_ago=2, langs=langs, flags=flags)
        made.like("bob", f"r{number}", hours_ago=1)
    data_dir = made.write(tmp_path)
    jobs.run(settings_for(data_dir), "all")

    def posts(**changes: float | str) -> set[str]:
        found = why(data_dir, 1, made.did("ann"), changes, public=True)
        assert found["parameters"]["language"] == changes.get("language", "")
        return {row["post_uri"] for row in found["posts"]}

    assert posts(language="de") == {made.uri("r1"), made.uri("r2")}
    assert posts(media=16) == {made.uri("r3"), made.uri("r4")}
    assert posts(media=8, language="en") == {made.uri("r2")}
    assert posts(language="fr") == set()
    assert posts() > posts(language="en") > {made.uri("r2")}
    configured = TestClient(create_app(_configured(data_dir), now=Clock()))
    page = _page(configured, f"viewer={made.did('ann')}&language=de").text
    assert page.count('class="place"') == 2
    assert '<option value="de" selected>German</option>' in page
    assert _page(configured, f"viewer={made.did('ann')}&language=D%27").status_code == 404


def test_changes_are_read_or_refused() -> None:
    assert changes_of(["half_life_hours=12", "max_per_author=2"]) == {
        "half_life_hours": 12,
        "max_per_author": 2,
    }
    assert changes_of(["language=en", "media=8"]) == {"language": "en", "media": 8}
    assert changes_of(["days_ago=7"]) == {"days_ago": "7"}
    for text in (
        "half_life_hours",
        "half_life_hours=x",
        "list_length=9",
        "=1",
        "language=EN",
        "language=x' OR 1",
        "days_ago=8",
        "days_ago=-1",
    ):
        with pytest.raises(ExplainError, match="--set"):
            changes_of([text])


def test_in_public_everything_shown_follows_from_likes(tmp_path: Path) -> None:
    """With answers only this installation knows, what the public sees is what it saw without them."""
    made = _world()
    plain = made.write(tmp_path / "plain")
    jobs.run(settings_for(plain), "all")
    before = why(plain, 1, made.did("ann"), {}, public=True)
    made.interaction("ann", "q1", "requestLess").interaction("ann", "q2", "interactionSeen")
    answered = made.write(tmp_path / "answered")
    jobs.run(settings_for(answered), "all")
    mine = why(answered, 1, made.did("ann"), {}, public=False)
    assert made.uri("q1") not in {post["post_uri"] for post in mine["posts"]}
    after = why(answered, 1, made.did("ann"), {}, public=True)
    assert after["posts"] == before["posts"]
    assert {post["was"] for post in after["posts"]} == {None}


def test_spacing_is_the_batchs() -> None:
    posts = [{"author_id": author, "n": n} for n, author in enumerate((1, 1, 2, 1, 3, 4, 4))]
    assert [(post["author_id"], post["n"]) for post in spaced(posts, 2)] == [
        (1, 0), (2, 2), (3, 4), (1, 1), (4, 5),
    ]  # fmt: skip
    assert spaced(posts, 0) == posts


def test_which_rule_moved_a_post() -> None:
    posts = [
        {"post_uri": uri, "author_id": author, "source": "co-likers"}
        for uri, author in (("a1", 1), ("a2", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5))
    ]
    placed = spaced(posts, 2)
    assert [post["post_uri"] for post in placed] == ["a1", "b", "c", "a2", "d", "e"]
    placed[1] = placed[1] | {"source": "trial"}
    rules = {post["post_uri"]: post["rule"] for post in with_rules(posts, placed, {"e"})}
    assert rules == {"a1": None, "b": "trial", "c": None, "a2": "spaced", "d": None, "e": "seen"}


def test_the_shortest_time_in_which_half_of_the_people_liked_it() -> None:
    assert recently([0.5, 0.9, 5.0]) == {"hours": 1, "people": 2, "of": 3}
    assert recently([0.5, 2.5, 5.0, 9.0]) == {"hours": 3, "people": 2, "of": 4}
    assert recently([47.0]) == {"hours": 48, "people": 1, "of": 1}
    assert recently([]) is None
    assert recently([99.0]) is None


def test_how_many_liked_it_lately_is_said(store: tuple[Path, World]) -> None:
    data_dir, made = store
    found = {post["post_uri"]: post for post in why(data_dir, 1, made.did("ann"), {}, public=True)["posts"]}
    # cat and dan liked q6 an hour ago, bob six hours ago: hours before the snapshot are a little more.
    assert found[made.uri("q6")]["recently"]["of"] == 3
    assert found[made.uri("q6")]["recently"]["people"] == 2
    page = _page(TestClient(create_app(_configured(data_dir), now=Clock())), f"viewer={made.did('ann')}").text
    hours = found[made.uri("q6")]["recently"]["hours"]
    assert f"taste liked it, 2 of them in the last {'hour' if hours == 1 else f'{hours} hours'}." in page
    assert "1 person who shares" in page


def _configured(data_dir: Path, **changes: Any) -> ServingConfig:
    command = (
        sys.executable,
        "-m",
        "pipeline.cli",
        "explain",
        "--why",
        "--json",
        "-",
        "--data-dir",
        str(data_dir),
    )
    return config_of(data_dir, explain=(*command, "--batch-threads", "1"), **changes)


def _page(client: TestClient, query: str = "", **request: Any) -> Result:
    local = {"host": "localhost", "remote_addr": "127.0.0.1", "extras": ON_PAGES}
    return client.simulate_get("/why", query_string=query, **(local | request))


def test_the_page_shows_the_list_with_reasons_and_moves_it(store: tuple[Path, World]) -> None:
    data_dir, made = store
    client = TestClient(create_app(_configured(data_dir), now=Clock()))
    assert "Handle or DID" in _page(client).text
    page = _page(client, f"viewer={made.did('ann')}")
    assert page.status_code == 200
    assert page.text.count('class="place"') == 6
    assert f"/profile/{made.did('bob')}" in page.text
    assert "both liked 3 posts, most of all" in page.text
    assert not re.search(r"\b(you|your)\b", re.sub(r'href="[^"]*"', "", page.text)), (
        "it may be anybody's page"
    )
    moved = _page(client, f"viewer={made.did('ann')}&max_per_author=1").text
    assert 'class="moved"' in moved
    assert "by this recipe" in moved
    part = _page(client, f"viewer={made.did('ann')}&max_per_author=1&part=result").text
    assert part.count('class="place"') == 5
    assert "<form" not in part and "<html" not in part
    nobody = _page(client, f"viewer={plc_did(7)}")
    assert nobody.status_code == 404
    assert "Nobody in the store is called" in nobody.text
    assert _page(client, f"viewer={made.did('ann')}&half_life_hours=x").status_code == 404
    assert _page(client, "viewer=%3Cb%3E").status_code == 404


def test_the_list_of_now_beside_that_of_the_morning(store: tuple[Path, World]) -> None:
    data_dir, made = store
    did = made.did("ann")
    client = TestClient(create_app(_configured(data_dir, pages="public"), now=Clock()))
    here = {"host": "localhost", "remote_addr": "127.0.0.1", "extras": ON_PAGES}
    page = client.simulate_get("/compare", query_string=f"a={did}&b={did}&a_days_ago=0", **here).text
    assert re.search("6 of the first 6 posts are the same", page)
    said = re.sub(r'href="[^"]*"', "", page.partition("<main")[2])
    assert not re.search(r"\b(you|your)\b", said), "it may be anybody's page"
    assert "today, first" in page and '<option value="0" selected>' in page
    missing = client.simulate_get("/compare", query_string=f"a={did}&b={did}&b_days_ago=1", **here)
    assert missing.status_code == 404 and "are kept: a week of them is" in missing.text
    wrong = client.simulate_get("/compare", query_string=f"a={did}&b={did}&b_days_ago=8", **here)
    assert wrong.status_code == 404 and "a number from 0 to 7" in wrong.text
    away = {"host": "feed.example.com", "remote_addr": "203.0.113.9"}
    others = client.simulate_get("/compare", query_string=f"a={did}&b={did}&a_days_ago=0", **away)
    assert others.status_code == 404 and "only this machine may see it" in others.text
    assert "days_ago" not in client.simulate_get("/compare", query_string=f"a={did}&b={did}", **away).text
    assert not [
        post for post in why(data_dir, 1, did, {"days_ago": "0"}, public=False)["posts"] if post["because"]
    ]


def test_who_may_see_it(store: tuple[Path, World]) -> None:
    data_dir, made = store
    away = {"host": "feed.example.com", "remote_addr": "203.0.113.9"}
    for pages, statuses in (("off", (404, 404)), ("local", (200, 404)), ("public", (200, 200))):
        client = TestClient(create_app(_configured(data_dir, pages=pages), now=Clock()))
        assert (_page(client).status_code, _page(client, **away).status_code) == statuses
    public = _page(client, f"viewer={made.did('ann')}", **away)
    assert public.status_code == 200
    assert public.text.count('class="place"') == 6


def test_a_handle_is_looked_up(store: tuple[Path, World]) -> None:
    data_dir, made = store
    with directory() as appview:
        path = "/xrpc/com.atproto.identity.resolveHandle?handle="
        appview.answers[path + "ann.example.com"] = (200, json.dumps({"did": made.did("ann")}).encode())
        appview.answers[path + "odd.example.com"] = (200, b'{"did": 5}')
        client = TestClient(create_app(_configured(data_dir, appview_url=appview.url), now=Clock()))
        assert _page(client, "viewer=@Ann.example.com").text.count('class="place"') == 6
        for typed, text in (
            ("bob.example.com", "Nobody has the handle"),
            ("odd.example.com", "be looked up just now"),
            ("no handle", "neither a handle"),
        ):
            answer = client.simulate_get(
                "/why", params={"viewer": typed}, host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES
            )
            assert answer.status_code == 404
            assert text in answer.text


def test_one_list_at_a_time_and_none_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explainer, "DEADLINE_SECONDS", 2.0)
    monkeypatch.setattr(explainer, "TURN_SECONDS", 0.2)
    marks = tmp_path / "started"
    sleeper = ("/bin/sh", "-c", f"echo >> {marks}; exec sleep 30")
    client = TestClient(create_app(config_of(tmp_path, explain=sleeper), now=Clock()))
    answers: list[Result] = []
    thread = threading.Thread(target=lambda: answers.append(_page(client, f"viewer={plc_did(1)}")))
    thread.start()
    while not marks.exists():
        thread.join(0.02)
    busy = _page(client, f"viewer={plc_did(2)}")
    assert busy.status_code == 503
    assert "Another list" in busy.text
    many = [threading.Thread(target=_page, args=(client, f"viewer={plc_did(9)}")) for _ in range(8)]
    for each in many:
        each.start()
    assert "Show" in _page(client).text, "the form needs no turn"
    for each in many:
        each.join(120)
    thread.join(120)
    assert answers[0].status_code == 503
    assert "more than 2 seconds" in answers[0].text


def test_the_home_page_says_what_it_is_and_how_it_is_doing(tmp_path: Path) -> None:
    client = TestClient(create_app(config_of(tmp_path, explain=("x",)), now=Clock()))
    away = {"host": "feed.example.com", "remote_addr": "203.0.113.9"}
    assert "they are being made" in client.simulate_get("/", **away).text
    store = ServingStore(tmp_path / "serving.sqlite")
    store.posts([1])
    store.publish(1, {plc_did(1): blob([1]), plc_did(2): blob([1])})
    (tmp_path / "dashboard.json").write_text('{"likes_stored": 1234567}')
    page = client.simulate_get("/", **away)
    assert page.status_code == 200
    for text in ("1 min ago", "people with a list</dt><dd>2<", "1,234,567", "/feed/for-you", "<svg"):
        assert text in page.text
    assert "/viewers" not in page.text and "/why" not in page.text
    assert page.headers["cache-control"] == "public, max-age=60"
    here = client.simulate_get("/", host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES)
    assert "/viewers" in here.text and "/why" in here.text
    shutil.copy(tmp_path / "dashboard.json", tmp_path / "serving.sqlite")  # no database any more
    store.close()
    assert client.simulate_get("/", **away).status_code == 200
