"""No page takes a value for HTML, wherever the value comes from."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
from falcon.testing import TestClient
from serving_worlds import ON_PAGES, Clock, ServingStore, blob, config_of, plc_did

from serving.app import create_app
from serving.pages import html

EVIL = """"><script>alert(1)<img src=x onerror='alert(2)'>' onload="alert(3)"""
POST = f"at://{EVIL}/app.bsky.feed.post/{EVIL}"
PARAMETERS = (
    "half_life_hours", "like_decay_hours", "crowd_weight", "left_out_weight", "popularity_exponent",
    "max_neighbours", "max_per_author", "author_spacing", "media",
)  # fmt: skip
REASON = {"did": EVIL, "share": 0.5, "like_age_hours": 1.0, "shared": 2, "picked": 0, "posts": [POST, POST]}
WHY: dict[str, Any] = {
    "viewer": EVIL,
    "neighbours": 3,
    "length": 2,
    "public": False,
    "parameters": dict.fromkeys(PARAMETERS, 2.0) | {"language": EVIL, "days_ago": EVIL},
    "usual": dict.fromkeys(PARAMETERS, 1.0) | {"language": "", "days_ago": ""},
    "posts": [
        {
            "post_uri": POST, "source": source, "co_likers": 2, "age_hours": 1.0, "likers": 2, "was": was,
            "because": [REASON], "crowd_share": 0.4, "rule": EVIL, "expected": 0.1,
            "recently": {"hours": 1, "people": 1, "of": 2},
        }
        for source, was in ((EVIL, None), ("popular", 7), ("co-likers", 1))
    ],
}  # fmt: skip


class Reader(HTMLParser):
    """Notes the elements and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.scripts: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.scripts += [dict(attrs).get("src") or "" for _ in range(tag == "script")]
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name == "href"}
        self.text += " ".join(value or "" for _, value in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """Serve pages in which everything that can be a text is hostile."""
    store = ServingStore(tmp_path / "serving.sqlite", feeds=[EVIL])
    store.posts([1, 2])
    store.connection.execute("UPDATE posts SET uri = ? || post_id", (POST,))
    store.publish(41, {EVIL: blob(range(1, 3)), **{f"{EVIL}{n}": blob([1]) for n in range(60)}})
    store.close()
    (tmp_path / "why.json").write_text(json.dumps(WHY))
    (tmp_path / "dashboard.json").write_text(
        json.dumps(
            {
                "written_at": 1.0, "likes_stored": EVIL, EVIL: EVIL,
                "likes_per_hour": [{"hour": "2026-11-24 10:00:00", "likes": 5}, {"hour": EVIL, "likes": EVIL}],
                "history": [{"at": 5, "lag_seconds": 1, "list_share": EVIL}],
                "languages": [{"language": EVIL, "likes": 5}],
                "like_rate_by_position": [{"position": EVIL, "like_rate": EVIL}],
            }
        )
    )  # fmt: skip
    config = config_of(
        tmp_path,
        publisher_did=EVIL,
        feed_rkeys=(EVIL,),
        explain=("/bin/sh", "-c", f"while read -r line; do cat {tmp_path}/why.json; echo; done"),
    )
    return TestClient(create_app(config, now=Clock()))


@pytest.mark.parametrize(
    ("path", "parameters", "shown"),
    [
        ("/", {}, 1),
        ("/viewers", {}, 50),
        ("/viewers", {"q": EVIL, "after": " "}, 51),
        ("/viewers", {"q": f"nobody {EVIL}"}, 1),
        ("/viewer/" + html.in_url(EVIL), {}, 3),
        ("/viewer/nobody" + html.in_url(EVIL), {}, 1),
        ("/why", {"viewer": EVIL, "max_per_author": EVIL}, 1),
        ("/why", {"viewer": plc_did(1), "max_per_author": "2"}, 1),
        ("/compare", {"a": EVIL, "b": EVIL, "a_max_per_author": EVIL}, 2),
        ("/compare", {"a": plc_did(1), "b": plc_did(2), "a_max_per_author": "2"}, 3),
        ("/dashboard", {}, 0),
        ("/plots", {}, 0),
    ],
)
def test_hostile_values_are_text(
    client: TestClient, path: str, parameters: dict[str, str], shown: int
) -> None:
    answer = client.simulate_get(
        path, params=parameters, host="localhost", remote_addr="127.0.0.1", extras=ON_PAGES
    )
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Reader()
    page.feed(answer.text)
    assert not page.elements & {"img", "iframe", "object", "base"}
    assert all(re.fullmatch(r"/assets/page\.js\?v=[0-9a-f]{12}", address) for address in page.scripts)
    assert not [
        name for name in page.attributes if name.startswith("on") or not re.fullmatch("[a-z0-9-]+", name)
    ]
    assert all(address.startswith(("https://bsky.app", "/", "#main")) for address in page.addresses)
    assert page.text.count(EVIL) >= shown


def test_no_template_opts_out() -> None:
    names = html.pages().list_templates(extensions=["html"])
    assert set(names) == {
        "analyst_plots.html", "base.html", "compare.html", "compare_result.html", "dashboard.html", "error.html",
        "home.html", "me.html", "no_lists.html", "picked.html", "plots.html", "post.html", "recipe.html",
        "retention.html", "sign_in.html", "sign_in_at.html", "start.html", "viewer.html", "viewers.html", "why.html",
        "why_result.html",
    }  # fmt: skip
    folder = Path(html.__file__).parent / "templates"
    for name in names:
        source = (folder / name).read_text()
        assert not re.search(r"\|\s*safe|autoescape|Markup", source), name
    with pytest.raises(jinja2.UndefinedError):
        html.pages().from_string("{{ absent }}").render()
