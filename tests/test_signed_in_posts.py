"""Posts for signed-in people alone: they are in viewers' lists, and in nothing that anybody may see."""

from collections.abc import Callable
from pathlib import Path

import pytest
from batch_tools import settings_for
from falcon.testing import TestClient
from serving_worlds import FEED, SKELETON, Account, OneAccount, bearer, config_of, plc_did
from worlds import World

from pipeline.batch import jobs
from pipeline.store.model import PostFlag
from serving.app import create_app
from serving.lists.list_store import ListStore
from serving.pages.appview import AppViewReader
from serving.pages.home import HomePage
from serving.pages.post_views import Outside


class SigningWorld(World):
    """A world whose people have DIDs that can sign."""

    def did(self, name: str) -> str:
        return plc_did(self.id(name))


def town() -> World:
    """ann, bob and cat share p1 and p2; the best liked post is for signed-in people alone."""
    made = SigningWorld().post("private", by="dan", flags=PostFlag.SIGNED_IN).post("open", by="eve")
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=40).like(name, "p2", hours_ago=30).visit(name)
    for name in ("bob", "cat", "fay", "gus"):
        made.like(name, "private", hours_ago=0.5)
    return made.like("bob", "open", hours_ago=0.5)


def client_of(data_dir: Path, clock: Callable[[], float], account: Account) -> TestClient:
    return TestClient(create_app(config_of(data_dir), now=clock, resolver=OneAccount(account)))


def posts_of(client: TestClient, headers: dict[str, str], **params: str) -> list[str]:
    answer = client.simulate_get(SKELETON, params={"feed": FEED, **params}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [item["post"] for item in answer.json["feed"]]


@pytest.mark.parametrize("runs", [("all",), ("all", "waiting")])
def test_only_who_signed_in_sees_a_post_for_signed_in_people(tmp_path: Path, runs: tuple[str, ...]):
    made = town()
    settings = settings_for(made.write(tmp_path))

    def clock() -> float:
        return made.now_us / 1e6

    jobs.run(settings, "all", clock)
    if "waiting" in runs:
        made.like("fay", "p1", hours_ago=0.2).like("fay", "p2", hours_ago=0.2).visit("fay").write(tmp_path)
        jobs.run(settings, "all", lambda: clock() + 1, "waiting")
    private, public = made.uri("private"), made.uri("open")
    ann = Account(made.did("ann"))
    client = client_of(tmp_path, clock, ann)
    own = posts_of(client, bearer(ann.token(now=clock())))
    assert private in own and public in own
    for headers in ({}, {"Accept-Language": "en"}):
        assert posts_of(client, headers) == [public]
    home = HomePage(
        config_of(tmp_path),
        ListStore(tmp_path / "serving.sqlite"),
        AppViewReader("http://127.0.0.1:9", Outside(""), enabled=True),
        clock,
    )
    assert home._state()[1] == [public]
