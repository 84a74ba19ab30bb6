"""What the stream takes back leaves the pages of published lists within seconds, and comes back with a reversal."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from pathlib import Path

import pytest
from batch_tools import settings_for
from removal_tools import Town, running_town
from serving_worlds import Account, Clock, Directory, ServingStore, config_of, directory, plc_did
from streams import wait_until

from pipeline.blocking import command
from pipeline.blocking.rules import BLOCK
from pipeline.clock import SKEW_US
from pipeline.identifiers import tid_at
from pipeline.store import removals
from pipeline.store.events import AccountChange, EventBatch, Post, PostDeletion
from pipeline.store.landing import Landing
from pipeline.store.model import DAY_US, AccountStatus, WithheldBy, WithheldFrom
from serving.identity.changed_identities import ChangedIdentities
from serving.identity.default_resolver import default_resolver
from serving.lists.list_bytes import ListItem
from serving.lists.list_store import ListStore
from serving.lists.removed_posts import RemovedPosts
from sql import places


@pytest.fixture(scope="module")
def plc() -> Iterator[Directory]:
    with directory() as running:
        yield running


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, plc: Directory) -> Iterator[Town]:
    viewer = Account(plc_did(1))
    plc.publish(viewer)
    with running_town(tmp_path_factory.mktemp("town"), viewer, plc.url) as running:
        yield running


def shows(town: Town, wanted: list[int]) -> Callable[[], bool]:
    return lambda: town.page()[0] == town.page(signed=False)[0] == town.uris(wanted)


def test_pages_do_without_what_the_stream_takes_back(town: Town):
    every = list(range(20))
    assert shows(town, every)()
    town.stream.append([town.commit(3, "delete")])
    rest = [number for number in every if number != 3]
    wait_until(shows(town, rest))
    for status in ("takendown", "deactivated", "suspended"):
        town.stream.append([town.account(1, status)])
        wait_until(shows(town, [number for number in rest if number % 5 != 1]))
        town.stream.append([town.account(1, None)])
        wait_until(shows(town, rest))
    town.stream.append([town.account(2, "deleted")])
    rest = [number for number in rest if number % 5 != 2]
    wait_until(shows(town, rest))
    # What was deleted with the account does not come back with it.
    town.stream.append([town.account(2, None), town.commit(3, "create", step=1)])
    wait_until(shows(town, sorted([*rest, 3])))
    town.stream.append([town.commit(3, "delete")])
    wait_until(shows(town, rest))


def test_pages_that_follow_repeat_nothing_and_pass_over_nothing_else(town: Town):
    first, cursor = town.page(limit=4)
    all_posts = town.page()[0]
    left = all_posts[5]
    number = next(number for number in range(20) if town.uri(number) == left)
    town.stream.append([town.commit(number, "delete")])
    wait_until(lambda: left not in town.page()[0])
    joined = list(first)
    while cursor:
        posts, cursor = town.page(limit=4, cursor=cursor)
        joined += posts
        assert len(posts) == 4 or not cursor
    assert joined == [post for post in all_posts if post != left]


def test_a_rotated_key_is_read_at_the_next_request(town: Town, plc: Directory):
    """Without the stream's word, the old key would do for an hour: a token it signed would be believed."""
    old, new = copy(town.viewer), town.viewer
    new.rotate()
    plc.publish(new)
    town.stream.append([town.identity(new.did)])
    asked = len(plc.requests)

    def refuses_the_old_key() -> bool:
        town.viewer = old
        try:
            town.page()
        except AssertionError:
            return True
        finally:
            town.viewer = new
        return False

    wait_until(refuses_the_old_key)
    assert town.page()[0]
    assert 1 <= len(plc.requests) - asked <= 2, "the new key is kept"


def test_what_the_operator_blocks_is_not_on_the_next_page(town: Town):
    """Ingest sees to it that a file counts that the operator edits by hand."""
    every = town.page()[0]
    number = next(number for number in range(20) if town.uri(number) == every[-1])
    author = town.author(number)
    command.run(settings_for(town.data_dir), BLOCK, [author], remove=False, note="")
    rest = [post for post in every if author not in post]
    assert town.page()[0] == town.page(signed=False)[0] == rest
    places.rules(town.data_dir).write_text("# nobody\n")
    wait_until(lambda: town.page()[0] == every, 60)
    places.rules(town.data_dir).write_text(f"block post {every[0]}\n")
    wait_until(lambda: town.page()[0] == every[1:], 60)
    places.rules(town.data_dir).unlink()
    wait_until(lambda: town.page()[0] == every, 60)


# The store alone.


def landing_with(folder: Path, count: int) -> tuple[Landing, list[Post]]:
    now_us = int(time.time() * 1e6)
    posts = [
        Post(f"did:plc:{number % 3}", tid_at(now_us - number), now_us, now_us, 0, "en", tid_at(now_us))
        for number in range(count)
    ]
    landing = Landing(folder)
    landing.append(EventBatch(posts=posts, newest_us=now_us, low_us=now_us), "host", "wire")
    return landing, posts


def deletion(post: Post) -> PostDeletion:
    return PostDeletion(post.author, post.rkey, post.seen_us, post.rev + 1)


def stored(folder: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(places.removals(folder))) as store:
        return store.execute(query).fetchall()


def test_only_posts_that_were_known_are_stored_and_the_oldest_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(removals._TABLES, "removed_posts", (4, "removals/drop_oldest_posts"))
    landing, posts = landing_with(tmp_path, 10)
    invented = PostDeletion("did:plc:x", posts[0].rkey + 7, posts[0].seen_us, posts[0].rev)
    batch = EventBatch(post_deletions=[*map(deletion, posts), invented])
    landing.append(batch, "host", "wire")
    landing.append(batch, "host", "wire")  # told again
    assert stored(tmp_path, "SELECT count(*) FROM removed_posts") == [(10,)]
    assert landing.removals.prune(landing.low_us) == 6
    newest = sorted(post.rkey for post in posts)[-4:]
    assert [rkey for (rkey,) in stored(tmp_path, "SELECT rkey FROM removed_posts ORDER BY 1")] == newest
    assert landing.removals.prune(landing.low_us + 15 * DAY_US) == 4
    landing.close()


def test_identities_and_authors_end_by_this_machines_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    landing, posts = landing_with(tmp_path, 3)
    seen_us = posts[0].seen_us
    change = AccountChange("did:plc:1", AccountStatus.TAKENDOWN, seen_us)
    landing.append(EventBatch(accounts=[change], identities=["did:plc:2", "did:plc:2"]), "host", "wire")
    assert landing.removals.prune(landing.low_us) == 0
    for days, removed in ((3, 1), (15, 1)):
        monkeypatch.setattr(removals.time, "time_ns", lambda days=days: (seen_us + days * DAY_US) * 1000)
        assert landing.removals.prune(landing.low_us) == removed
    landing.close()


def test_a_new_landing_store_forgets_the_removals_of_another(tmp_path: Path):
    landing, posts = landing_with(tmp_path, 3)
    landing.append(EventBatch(post_deletions=[deletion(posts[0])]), "host", "wire")
    landing.close()
    Landing(tmp_path).close()
    assert stored(tmp_path, "SELECT count(*) FROM removed_posts") == [(1,)]
    for file in tmp_path.glob("landing.sqlite*"):
        file.unlink()
    Landing(tmp_path).close()
    assert stored(tmp_path, "SELECT count(*) FROM removed_posts") == [(0,)]


def test_an_account_that_came_back_shows_what_it_wrote_since(tmp_path: Path):
    landing, posts = landing_with(tmp_path, 1)
    seen_us = posts[0].seen_us
    for status in (AccountStatus.DELETED, AccountStatus.ACTIVE):
        landing.append(EventBatch(accounts=[AccountChange(posts[0].author, status, seen_us)]), "h", "w")
    landing.close()
    store = RemovedPosts(places.removals(tmp_path))
    (author,) = stored(tmp_path, "SELECT author_id FROM hidden_authors")[0]
    before, after = (author, posts[0].rkey), (author, tid_at(seen_us + SKEW_US + 1))
    assert store.withheld_among([before, after]) == {before: 3}
    removals.show_again(tmp_path, author)
    assert store.withheld_among([before, after]) == {}


def test_a_level_says_from_whose_pages_a_post_is_withheld(tmp_path: Path):
    """Post 1 by author 0 … post 4 by author 3; a cause that ends leaves what others want."""
    store = ServingStore(places.serving(tmp_path))
    store.posts(range(1, 5))
    keys = dict(store.connection.execute("SELECT post_id, rkey FROM posts").fetchall())
    authors = dict(store.connection.execute("SELECT post_id, author_id FROM posts").fetchall())
    store.close()
    writer = removals.Removals(tmp_path)
    items = [ListItem(1, 1.0, 4, 1), ListItem(2, 1.0, 4, 1), ListItem(3, 1.0, 0, 2), ListItem(4, 1.0, 4, 3)]

    def shown(*, anybody: bool) -> set[int]:
        with ListStore(places.serving(tmp_path), places.removals(tmp_path)).read() as snapshot:
            assert snapshot is not None
            found = snapshot.uris_of(items, anybody=anybody)
            assert found.keys() == snapshot.posts_of(items, anybody=anybody).keys()
            return set(found)

    def post(number: int, level: WithheldFrom) -> tuple[int, int, WithheldFrom]:
        return keys[number], authors[number], level

    assert shown(anybody=True) == shown(anybody=False) == {1, 2, 3, 4}
    writer.withhold(
        WithheldBy.LABELER, [post(1, WithheldFrom.ANONYMOUS), post(2, WithheldFrom.EVERYBODY)], []
    )
    assert (shown(anybody=True), shown(anybody=False)) == ({3, 4}, {1, 3, 4})
    writer.withhold(WithheldBy.LABELER, [post(1, WithheldFrom.POPULAR), post(3, WithheldFrom.POPULAR)], [])
    assert (shown(anybody=True), shown(anybody=False)) == ({4}, {1, 4}), "post 3 is there as popular"
    writer.withhold(
        WithheldBy.AUTHOR, [], [(authors[2], WithheldFrom.EVERYBODY), (authors[4], WithheldFrom.ANONYMOUS)]
    )
    writer.withhold(WithheldBy.LABELER, [post(number, WithheldFrom.NOBODY) for number in (1, 2, 3)], [])
    assert (shown(anybody=True), shown(anybody=False)) == ({1, 3}, {1, 3, 4})
    writer.withhold(
        WithheldBy.AUTHOR, [], [(authors[2], WithheldFrom.NOBODY), (authors[4], WithheldFrom.NOBODY)]
    )
    assert shown(anybody=True) == {1, 2, 3, 4}
    writer.withhold(
        WithheldBy.LABELER, [post(1, WithheldFrom.EVERYBODY)], [(authors[2], WithheldFrom.EVERYBODY)]
    )
    long_after_us = (keys[1] >> 10) + 15 * DAY_US
    assert writer.prune(long_after_us) == 1, "a post that no list can name any more"
    assert stored(tmp_path, "SELECT count(*) FROM withheld_authors") == [(1,)]
    writer.close()


def test_an_absent_or_broken_store_removes_nothing(tmp_path: Path):
    path = tmp_path / "removals.sqlite"
    assert RemovedPosts(path).withheld_among([(1, 2)]) == {}
    path.write_bytes(b"no store" * 1000)
    assert RemovedPosts(path).withheld_among([(1, 2)]) == {}
    assert ChangedIdentities(path).changed("did:plc:x") == 0.0
    with ListStore(tmp_path / "serving.sqlite", path).read() as snapshot:
        assert snapshot is None


def test_a_directory_that_is_down_leaves_the_old_key(tmp_path: Path):
    """The stream's word makes the key be read again; while that fails, the viewer keeps their list."""
    clock = Clock(time.time())
    with directory() as plc:
        viewer = Account(plc_did(1))
        plc.publish(viewer)
        resolver = default_resolver(config_of(tmp_path, plc.url), clock)
        key = resolver.signing_key(viewer.did)
        clock.at += 5
        landing = Landing(tmp_path)
        landing.append(EventBatch(identities=[viewer.did]), "host", "wire")
        landing.close()
        with closing(sqlite3.connect(places.removals(tmp_path))) as store, store:
            store.execute("UPDATE changed_identities SET changed_us = ?", (int((clock.at - 1) * 1e6),))
        plc.answers.clear()
        plc.answers[f"/{viewer.did}"] = (503, b"")
        asked = len(plc.requests)
        assert resolver.signing_key(viewer.did) == key
        assert resolver.signing_key(viewer.did) == key
        assert len(plc.requests) == asked + 1, "it is not asked for every request"
        viewer.rotate()
        plc.publish(viewer)
        clock.at += 31
        assert resolver.signing_key(viewer.did) != key
