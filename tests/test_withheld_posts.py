"""What is withheld, for whatever cause, is in no list that it is withheld from; what breaks that is not published."""

from pathlib import Path

import pytest
from batch_tools import settings_for
from serving_worlds import plc_did
from worlds import World

import sql
from pipeline.batch import jobs
from pipeline.errors import BatchError
from pipeline.store.model import WithheldBy, WithheldFrom
from pipeline.store.operator_rules import OperatorRules, RuledNames
from serving.lists import list_bytes
from serving.lists.list_store import ListStore
from sql import places

FEED = "for-you"
NAMES = ("kept", "anonymous", "popular", "everybody")


class SigningWorld(World):
    def did(self, name: str) -> str:
        return plc_did(self.id(name))


def town() -> World:
    """ann, bob and cat share p1 and p2; bob and others like four new posts, each by an author of its own name."""
    made = SigningWorld()
    for name in NAMES:
        made.post(name, by=f"author of {name}")
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=40).like(name, "p2", hours_ago=30).visit(name)
    for liker in ("bob", "fay", "gus"):
        for name in NAMES:
            made.like(liker, name, hours_ago=0.5)
    return made


def lists(made: World, data_dir: Path, tier: str = "all") -> tuple[set[str], set[str]]:
    """Run the jobs; return the names of the posts in ann's list, and in the list for anybody."""
    settings = settings_for(made.write(data_dir))
    jobs.run(settings, "all", lambda: made.now_us / 1e6, tier)
    names = {made.uri(name): name for name in NAMES}
    with ListStore(places.serving(data_dir)).read() as snapshot:
        assert snapshot is not None
        current = snapshot.current()
        assert current is not None
        found = []
        for stored, anybody in (
            (snapshot.list_of(FEED, made.did("ann"), current.number), False),
            (snapshot.fallback_of(FEED, "", current.number), True),
        ):
            items = list_bytes.items(stored.blob, 0, 100) if stored else []
            found.append({names[uri] for uri in snapshot.uris_of(items, anybody=anybody).values()})
    return found[0], found[1]


@pytest.mark.parametrize("cause", WithheldBy)
@pytest.mark.parametrize("whole_author", [False, True])
def test_each_level_keeps_posts_out_of_its_lists(tmp_path: Path, cause: WithheldBy, whole_author: bool):
    made = town()
    for name, level in zip(NAMES, WithheldFrom, strict=True):
        if level:
            made.withhold(f"author of {name}" if whole_author else name, level, cause)
    own, anybody = lists(made, tmp_path)
    assert own == {"kept", "anonymous", "popular"}, "a neighbour likes what is withheld as popular"
    assert anybody == {"kept"}


def test_a_run_for_waiting_viewers_leaves_out_the_same(tmp_path: Path):
    """It takes what is popular from the last run, before which nothing was withheld."""
    made = town()
    assert lists(made, tmp_path)[0] == set(NAMES)
    made.withhold("everybody", WithheldFrom.EVERYBODY).withhold(
        "author of kept", WithheldFrom.EVERYBODY, WithheldBy.AUTHOR
    )
    made.withhold("popular", WithheldFrom.POPULAR)
    made.like("new", "p1", hours_ago=0.2).like("new", "p2", hours_ago=0.2).visit("new")
    made.now_us += 1
    settings = settings_for(made.write(tmp_path))
    jobs.run(settings, "all", lambda: made.now_us / 1e6 + 1, "waiting")
    with ListStore(places.serving(tmp_path)).read() as snapshot:
        assert snapshot is not None
        stored = snapshot.list_of(FEED, made.did("new"), 10)
        assert stored is not None
        items = list_bytes.items(stored.blob, 0, 100)
        assert set(snapshot.uris_of(items, anybody=False).values()) == {
            made.uri("anonymous"),
            made.uri("popular"),
        }
        assert {item.source for item in items} <= {list_bytes.SOURCE_CO_LIKERS, list_bytes.SOURCE_TRIAL}


def test_what_the_operator_allows_no_labeler_withholds(tmp_path: Path):
    made = town()
    for name in NAMES[1:]:
        made.withhold(name, WithheldFrom.EVERYBODY)
    made.withhold("author of popular", WithheldFrom.EVERYBODY, WithheldBy.AUTHOR)
    made.write(tmp_path)
    rules = OperatorRules(tmp_path)
    did = made.did("author of everybody")
    rules.replace("", RuledNames({did: False, made.did("author of popular"): False}, {}))
    rules.close()
    assert lists(made, tmp_path) == ({"kept", "everybody"}, {"kept", "everybody"})


@pytest.mark.parametrize(
    ("check", "level", "wanted"),
    [
        ("withheld_posts", 3, "coalesce(w.level, 0) < 3"),
        ("popular_posts", 2, "p.level < 2"),
        ("public_posts", 1, "c.level = 0"),
    ],
)
def test_a_batch_that_forgets_a_level_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, level: int, wanted: str
):
    """The rule is taken out of the SQL that makes lists; the check, which has a definition of its own, finds it."""
    load = sql.load
    broken = {
        "withheld_posts": "batch/candidate_posts",
        "popular_posts": "batch/popular",
        "public_posts": "batch/public_popular",
    }
    text = load(broken[check])
    assert wanted in text
    text = text.replace(wanted, "true")

    def loaded(name: str) -> str:
        return text if name == broken[check] else load(name)

    monkeypatch.setattr(sql, "load", loaded)
    made = town()
    for name in NAMES:
        if name != "kept":
            made.withhold(name, level)
    # No neighbour of ann likes one of them: she gets it as popular.
    made.likes = {
        key: like
        for key, like in made.likes.items()
        if key[0] != made.id("bob") or like[0] != made.id("author of popular")
    }
    with pytest.raises(BatchError, match=check):
        lists(made, tmp_path)
    assert not places.serving(tmp_path).exists() or not published(tmp_path)


def published(data_dir: Path) -> bool:
    with ListStore(places.serving(data_dir)).read() as snapshot:
        return snapshot is not None and snapshot.current() is not None
