"""What the operator blocks is on no page from the next one on, and in no list; what they allow is."""

from contextlib import closing
from pathlib import Path

import pytest
from batch_tools import settings_for
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_worlds import plc_did
from worlds import World

from pipeline import cli
from pipeline.batch import jobs
from pipeline.blocking import command, in_force, rule_file
from pipeline.blocking.rule_file import RulesError, rules_of
from pipeline.blocking.rules import ALLOW, BLOCK, KINDS, Rule, canonical, rule_of
from pipeline.blocking.typed import TypedError, named
from pipeline.errors import StoreError
from pipeline.explore.explain_command import explain
from pipeline.handles import UnresolvedHandleError
from pipeline.identifiers import tid_from_int
from pipeline.store.landing import Landing
from pipeline.store.model import PostFlag, WithheldBy, WithheldFrom
from pipeline.store.removals import Removals
from serving.feed.paging import PageRequest, page_of
from serving.lists.list_store import ListStore
from sql import places

LIST = f"at://{plc_did(9)}/app.bsky.graph.list/3mmoojp7etg2g"


def town() -> World:
    """ann, bob and cat share p1 and p2; each of four authors has a new post that bob and cat like."""
    made = World()
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=40).like(name, "p2", hours_ago=30).visit(name)
    for author in ("dan", "eve", "fay"):
        made.post(f"{author}'s", by=author)
    made.post("gus's", by="gus", flags=PostFlag.BLOCKED)  # a rule about texts was about it when it came in
    for name in ("bob", "cat"):
        for author in ("dan", "eve", "fay", "gus"):
            made.like(name, f"{author}'s", hours_ago=0.5)
    return made


class Pages:
    """The posts that pages show of what the batch published for ann, by their names."""

    def __init__(self, data_dir: Path) -> None:
        self.world = town()
        self.data_dir = self.world.write(data_dir)

    def run(self, viewers: str = "all", later: int = 0) -> "Pages":
        jobs.run(settings_for(self.data_dir), "all", lambda: self.world.now_us / 1e6 + later, viewers)
        return self

    def block(self, *what: str, action: str = BLOCK, remove: bool = False) -> None:
        command.run(settings_for(self.data_dir), action, what, remove=remove, note="")

    def shown_to(self, *viewers: str) -> set[str]:
        """The posts on the pages of people, '' for who is not signed in; all of them have the same."""
        names = {self.world.uri(name): name for name in self.world.posts}
        with ListStore(places.serving(self.data_dir), places.removals(self.data_dir)).read() as lists:
            assert lists is not None
            dids = [self.world.did(viewer) if viewer else None for viewer in viewers]
            pages = [page_of(lists, PageRequest("for-you", did, (), 100)).entries for did in dids]
        first, *rest = ({names[entry.uri][:3] for entry in entries} for entries in pages)
        assert all(other == first for other in rest)
        return first

    @property
    def shown(self) -> set[str]:
        return self.shown_to("ann", "")


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(tmp_path)


def test_what_is_blocked_leaves_the_next_page_and_comes_back(pages: Pages):
    pages.run()
    assert pages.shown == {"dan", "eve", "fay"}
    dan, eve = pages.world.did("dan"), pages.world.uri("eve's")
    pages.block(dan, eve)
    assert pages.shown == {"fay"}
    pages.block(pages.world.uri("dan's"), action=ALLOW)
    assert pages.shown == {"dan", "fay"}, "a rule about a post counts before one about its author"
    pages.block(dan, eve, remove=True)
    assert pages.shown == {"dan", "eve", "fay"}


def test_the_next_lists_are_made_without_it(pages: Pages):
    pages.block(pages.world.did("dan"), pages.world.uri("eve's"))
    pages.run()
    places.removals(pages.data_dir).unlink()  # pages no longer leave anything out
    assert pages.shown == {"fay"}
    pages.block(pages.world.uri("dan's"), pages.world.did("gus"), action=ALLOW)
    pages.run()
    places.removals(pages.data_dir).unlink()
    assert pages.shown == {"dan", "fay", "gus"}


def test_lists_of_who_waits_are_made_without_it(pages: Pages):
    pages.run()
    pages.block(pages.world.did("dan"), pages.world.uri("eve's"))
    pages.block(pages.world.did("gus"), action=ALLOW)
    pages.world.like("hal", "p1", hours_ago=0.2).like("hal", "p2", hours_ago=0.2).visit("hal")
    pages.world.write(pages.data_dir)
    pages.run("waiting", later=1)
    places.removals(pages.data_dir).unlink()
    assert {"fay", "gus"} <= pages.shown_to("hal") <= {"fay", "gus", "p1", "p2"}


def test_it_is_explained(pages: Pages):
    pages.block(pages.world.did("dan"))
    pages.run()
    found = explain(pages.data_dir, 1, pages.world.did("ann"), pages.world.uri("dan's"))
    assert found.verdict[1] == "the operator blocks it, its author, or something in its text (foryou block)"


def test_an_account_is_blocked_before_the_store_knows_it(tmp_path: Path):
    landing = Landing(tmp_path)
    landing.close()
    command.run(settings_for(tmp_path), BLOCK, [town().did("dan")], remove=False, note="")
    pages = Pages(tmp_path).run()
    assert pages.shown == {"eve", "fay"}


@pytest.mark.parametrize("cause", WithheldBy)
def test_who_is_allowed_is_shown_in_spite_of_labelers_not_of_the_authors_own_wish(
    pages: Pages, cause: WithheldBy
):
    pages.run()
    dan, post = pages.world.id("dan"), pages.world.posts["eve's"]
    with closing(Removals(pages.data_dir)) as removals:
        removals.withhold(
            cause, [(post[1], post[0], WithheldFrom.EVERYBODY)], [(dan, WithheldFrom.EVERYBODY)]
        )
    assert pages.shown == {"fay"}
    pages.block(pages.world.did("dan"), pages.world.uri("eve's"), action=ALLOW)
    assert pages.shown == ({"dan", "eve", "fay"} if cause is WithheldBy.LABELER else {"fay"})


def test_members_of_a_list_are_blocked_unless_they_are_allowed(pages: Pages):
    path = places.members(pages.data_dir, LIST)
    path.parent.mkdir()
    path.write_text(f"# {LIST}\n" + "".join(f"{pages.world.did(name)}\n" for name in ("dan", "eve")))
    pages.block(LIST)
    pages.block(pages.world.did("eve"), action=ALLOW)
    assert pages.run().shown == {"eve", "fay"}
    pages.block(LIST, remove=True)
    assert pages.run().shown == {"dan", "eve", "fay"}


def test_a_wrong_line_is_named_and_the_rules_before_it_stay(pages: Pages, caplog: pytest.LogCaptureFixture):
    pages.block(pages.world.did("dan"))
    path = places.rules(pages.data_dir)
    path.write_text(path.read_text() + "\nblok word crypto\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(
        RulesError, match=rf"rules.txt, line {line}: unknown rule blok \(did you mean block\?\)"
    ):
        pages.block("word:x")
    assert pages.run().shown == {"eve", "fay"}
    assert f"line {line}" in caplog.text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("block", "unknown kind (none)"),
        ("block acount did:plc:x", "did you mean account?"),
        ("block account alice.example", "foryou block @HANDLE"),
        ("block post at://alice.example/app.bsky.feed.post/3mmoojp7etg2g", "does not name a post"),
        ("block list at://did:plc:x/app.bsky.feed.post/3mmoojp7etg2g", "does not name a list"),
        ("block domain nonsense", "is not a domain"),
        ("block hashtag two words", "is not a hashtag"),
        ("block word \u200b", "is not a word"),
        (f"block word {'x' * 101}", "is not a word"),
        ("allow word crypto", "allow is for account, post, domain"),
    ],
)
def test_a_wrong_line_says_what_is_wrong(tmp_path: Path, line: str, said: str):
    places.rules(tmp_path).write_text(f"# mine\n\n{line}\n")
    with pytest.raises(RulesError) as caught:
        rules_of(tmp_path)
    assert "rules.txt, line 3: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"block word caf\xe9\n", b"block word x\n" * 700_000], ids=["latin-1", "9 MB"]
)
def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path, content: bytes):
    places.rules(tmp_path).write_bytes(content)
    with pytest.raises(RulesError, match=r"UTF-8|too much"):
        rules_of(tmp_path)


def test_two_lines_that_say_the_opposite_are_refused(tmp_path: Path):
    places.rules(tmp_path).write_text("block domain a.example\nallow domain A.example.\n")
    with pytest.raises(RulesError, match="line 2: line 1 says the opposite"):
        rules_of(tmp_path)


def test_the_operators_own_lines_stay(tmp_path: Path):
    path = places.rules(tmp_path)
    path.write_bytes(
        "\ufeff# mine\r\n\r\nblock  word  Crypto   # tired of it\r\nblock hashtag #c#\r\n".encode()
    )
    rule_file.add(tmp_path, [Rule(BLOCK, "word", "crypto"), Rule(BLOCK, "domain", "a.example", "why")])
    assert path.read_text().splitlines() == [
        "# mine", "", "block  word  Crypto   # tired of it", "block hashtag #c#", "block domain a.example   # why",
    ]  # fmt: skip
    assert [rule.value for rule in rules_of(tmp_path)] == ["crypto", "c#", "a.example"]
    rule_file.add(tmp_path, [Rule(ALLOW, "domain", "a.example")])
    rule_file.remove(tmp_path, [Rule(BLOCK, "word", "crypto"), Rule(BLOCK, "word", "never there")])
    assert path.read_text().splitlines() == ["# mine", "", "block hashtag #c#", "allow domain a.example"]


@given(
    st.sampled_from((BLOCK, ALLOW)),
    st.sampled_from(KINDS),
    st.text(max_size=120),
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=50),
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_rule_that_reads_back_or_is_refused(action: str, kind: str, value: str, note: str):
    try:
        form = canonical(action, kind, value)
    except ValueError:
        return
    assert canonical(action, kind, form) == form
    rule = Rule(action, kind, form, " ".join(note.split()))
    assert rule.as_line().splitlines() == [rule.as_line()]
    assert rule_of(rule.as_line()) == rule


HANDLES = {"alice.example": plc_did(5)}


def did_of(handle: str) -> str:
    if handle not in HANDLES:
        raise UnresolvedHandleError(f"nobody has the handle {handle}")
    return HANDLES[handle]


KEY = tid_from_int(1_822_432_265_069_441_036)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (plc_did(5), "account", plc_did(5)),
        ("@alice.example", "account", plc_did(5)),
        ("account:alice.example", None, "may be a handle or a domain"),
        ("account:@alice.example", "account", plc_did(5)),
        ("https://bsky.app/profile/alice.example", "account", plc_did(5)),
        ("https://bsky.app/profile/alice.example/", "account", plc_did(5)),
        (
            f"https://bsky.app/profile/alice.example/post/{KEY}?x=1#y",
            "post",
            f"at://{plc_did(5)}/app.bsky.feed.post/{KEY}",
        ),
        (
            f"at://alice.example/app.bsky.feed.post/{KEY}",
            "post",
            f"at://{plc_did(5)}/app.bsky.feed.post/{KEY}",
        ),
        (
            f"https://deer.social/profile/{plc_did(5)}/lists/{KEY}",
            "list",
            f"at://{plc_did(5)}/app.bsky.graph.list/{KEY}",
        ),
        (f"at://{plc_did(5)}/app.bsky.feed.like/{KEY}", None, "neither a post nor a list"),
        ("https://Spam.example/path", "domain", "spam.example"),
        ("domain:Bücher.example", "domain", "xn--bcher-kva.example"),
        ("spam.example", None, "type @spam.example or domain:spam.example"),
        ("#GiveAway", "hashtag", "giveaway"),
        ("https://bsky.app/hashtag/GiveAway", "hashtag", "giveaway"),
        ("hashtag:＃GiveAway", "hashtag", "giveaway"),
        ("Straße", "word", "strasse"),
        ("buy   NOW", "word", "buy now"),
        ("word:spam.example", "word", "spam.example"),
        ("@nobody.example", None, "nobody has the handle"),
        ("", None, "missing"),
    ],
)
def test_what_an_operator_types(text: str, kind: str | None, value: str):
    if kind is None:
        with pytest.raises((TypedError, UnresolvedHandleError), match=value):
            named(BLOCK, text, did_of)
    else:
        assert named(BLOCK, text, did_of)[:2] == (kind, value)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORYOU_DATA_DIR", str(tmp_path / "new"))
    assert cli.main(["block"]) == 0
    assert "nothing is blocked" in capsys.readouterr().out
    assert cli.main(["block", "word:Crypto", plc_did(5), "--note", "spam"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "block word crypto   # spam", f"block account {plc_did(5)}   # spam",
        "Rules about texts are for posts that come in from now on: texts are not stored.",
    ]  # fmt: skip
    assert cli.main(["allow", plc_did(5)]) == 0
    assert cli.main(["block", "--remove", "crypto", "never"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "removed: block word crypto", "no such rule: block word never",
    ]  # fmt: skip
    assert [rule.as_line() for rule in rules_of(tmp_path / "new")] == [f"allow account {plc_did(5)}"]
    assert cli.main(["allow", "crypto"]) == 1
    assert "allow is for" in capsys.readouterr().err


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path):
    places.removals(tmp_path).write_bytes(b"no store" * 1000)
    with pytest.raises(StoreError, match=r"can't write .*removals.sqlite"):
        command.run(settings_for(tmp_path), BLOCK, [plc_did(5)], remove=False, note="")
    assert [rule.value for rule in rules_of(tmp_path)] == [plc_did(5)], "it counts once the store is well"


def test_unchanged_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rule_file.add(tmp_path, [Rule(BLOCK, "account", plc_did(5))])
    in_force.bring_into_force(tmp_path)
    monkeypatch.setattr(rule_file, "rules_of", None)
    in_force.bring_into_force(tmp_path)
