"""Several feeds in one installation: their parameters, the neighbours they share, and lists of their own."""

from pathlib import Path

import commands
import httpx
import pytest
from list_bytes import unpack
from streams import free_port, wait_until
from worlds import World

from pipeline.batch import jobs
from pipeline.batch.inputs.neighbour_files import files_of
from pipeline.errors import SettingError
from pipeline.feeds import Feed, feeds_of
from pipeline.ranking import ranking_from
from pipeline.settings import Settings, load_settings
from sql.sqlite import connect

TOML = """
[ranking]
max_seeds = 9

[feeds.quiet]
popularity_exponent = 0.9

[feeds.moving]
rkey = "videos"
media = ["video"]

[feeds.close]
max_neighbours = 1
"""


SMALL = "[feeds.close]\nmax_neighbours = 1\n"


def settings_of(tmp_path: Path, text: str = TOML) -> Settings:
    """Return the settings of an installation with this foryou.toml."""
    (tmp_path / "foryou.toml").write_text(text)
    return load_settings({"data_dir": str(tmp_path / "data")}, {}, tmp_path)


def town() -> World:
    """ann, bob and cat share p1 and p2, bob and cat also p3; bob likes q0 and q1, cat q1 and the video q2."""
    made = World()
    for name in ("ann", "bob", "cat"):
        made.like(name, "p1", hours_ago=30).like(name, "p2", hours_ago=29)
    made.like("ann", "p3", hours_ago=31).like("bob", "p3", hours_ago=31)
    for i, flags in enumerate((0, 8, 16)):
        made.post(f"q{i}", by=f"author{i}", hours_ago=i + 1, flags=flags)
    made.like("bob", "q0").like("bob", "q1").like("cat", "q1").like("cat", "q2")
    return made.visit("ann")


def lists_of(data_dir: Path, viewer: str) -> dict[str, list[str]]:
    """Return a viewer's newest list in each feed."""
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    uris = dict(serving.execute("SELECT post_id, uri FROM posts"))
    rows = serving.execute(
        "SELECT f.rkey, l.items, max(l.generation) FROM lists AS l JOIN feeds AS f USING (feed_id) "
        "JOIN viewers AS v USING (viewer_id) WHERE v.did = ? GROUP BY f.rkey",
        (f"did:plc:{viewer}",),
    ).fetchall()
    serving.close()
    return {rkey: [uris[item[0]] for item in unpack(items)] for rkey, items, _ in rows}


def test_without_tables_there_is_one_feed_as_ever(tmp_path: Path):
    settings = settings_of(tmp_path, "feed_rkey = 'mine'\n[ranking]\nmax_seeds = 9\n")
    assert feeds_of(settings) == (Feed("mine", ranking_from({"max_seeds": 9})),)
    assert settings.feed_rkeys == ("mine",)


def test_a_feed_has_its_own_parameters_over_the_common_ones(tmp_path: Path):
    feeds = {feed.rkey: feed.ranking for feed in feeds_of(settings_of(tmp_path))}
    assert list(feeds) == ["for-you", "quiet", "videos", "close"]
    assert feeds["for-you"] == ranking_from({"max_seeds": 9})
    assert feeds["quiet"] == ranking_from({"max_seeds": 9, "popularity_exponent": 0.9})
    assert feeds["videos"].media == 16
    assert [files.rkeys for files in files_of(tmp_path, feeds_of(settings_of(tmp_path)))] == [
        ("for-you", "quiet", "videos"),
        ("close",),
    ]


def test_the_first_feed_can_have_a_table_too(tmp_path: Path):
    settings = settings_of(
        tmp_path, "[feeds.quiet]\nmedia = 8\n[feeds.for-you]\ntitle = 'You'\nmax_seeds = 3\n"
    )
    assert [(feed.rkey, feed.ranking.max_seeds) for feed in feeds_of(settings)] == [
        ("for-you", 3),
        ("quiet", 500),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[feeds.quiet]\nmax_seed = 3", "[feeds.quiet] unknown parameter max_seed (did you mean max_seeds?)"),
        (
            "[feeds.quiet]\nmedia = 'music'",
            "[feeds.quiet] media = 'music': expected one or more of images, video, link, quote",
        ),
        ("[feeds.quiet]\nmedia = 9", "[feeds.quiet] media = 9: must be a sum of 8, 16, 32 and 64"),
        ("[feeds.quiet]\nmedia = true", "[feeds.quiet] media = True: must be a whole number"),
        (
            "[feeds.quiet]\nseed_window_days = 91",
            "[feeds.quiet] seed_window_days must not exceed that of [ranking], 90",
        ),
        ("[feeds.quiet]\nlist_length = 0", "[feeds.quiet] list_length = 0: must be from 1"),
    ],
)
def test_a_wrong_parameter_names_its_table(tmp_path: Path, text: str, words: str):
    with pytest.raises(SettingError) as caught:
        feeds_of(settings_of(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_feed_has_lists_of_its_own_and_they_share_the_graph(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """ann's nearest is bob, who shares p3 too: "close" looks at him alone; "videos" has q2 alone."""
    settings, made = settings_of(tmp_path), town()
    data = made.write(tmp_path / "data")
    with caplog.at_level("DEBUG", "foryou.batch"):
        jobs.run(settings, "all")
    found = lists_of(data, "ann")
    posts = {name: made.uri(name) for name in ("q0", "q1", "q2")}
    assert set(found["for-you"]) == set(found["quiet"]) == set(posts.values())
    assert found["videos"] == [posts["q2"]]
    assert set(found["close"]) == {posts["q0"], posts["q1"], posts["q2"]}  # q2 fills up, as popular
    names = sorted(path.name for path in (data / "lake").glob("neighbours*"))
    other = files_of(data, feeds_of(settings))[1]
    assert names == sorted(
        ["neighbours.parquet", "neighbours-degrees.parquet", other.path.name, other.degrees.name]
    )
    assert caplog.text.count("neighbours: product") == caplog.text.count("neighbours close: product") == 1
    serving = connect(data / "serving.sqlite", read_only=True)
    told = serving.execute("SELECT DISTINCT job, feed FROM runs ORDER BY job, feed").fetchall()
    fallbacks = dict(
        serving.execute("SELECT rkey, count(*) FROM fallbacks JOIN feeds USING (feed_id) GROUP BY 1")
    )
    serving.close()
    assert told == [
        ("candidates", "close"), ("candidates", "for-you"), ("candidates", "quiet"), ("candidates", "videos"),
        ("compact", ""), ("neighbours", ""), ("neighbours", "close"),
    ]  # fmt: skip
    assert fallbacks == {"close": 1, "for-you": 1, "quiet": 1, "videos": 1}


def test_a_feed_that_is_no_more_leaves_and_the_others_stay(tmp_path: Path):
    """More than a day later: the dropped feed's lists and neighbours are gone, the unchanged lists of the rest not."""
    data = town().write(tmp_path / "data")
    start = town().now_us / 1e6
    jobs.run(settings_of(tmp_path, SMALL), "all", lambda: start)
    before = lists_of(data, "ann")
    jobs.run(settings_of(tmp_path, ""), "all", lambda: start + 90_000)
    assert lists_of(data, "ann") == {"for-you": before["for-you"]}
    names = {path.name for path in (data / "lake").glob("neighbours*")}
    assert names == {"neighbours.parquet", "neighbours-degrees.parquet"}


def test_who_waits_gets_a_list_in_every_feed(tmp_path: Path):
    settings = settings_of(tmp_path, SMALL)
    made = town()
    data = made.write(tmp_path / "data")
    start = made.now_us / 1e6
    jobs.run(settings, "all", lambda: start)
    wanted = lists_of(data, "ann")
    serving = connect(data / "serving.sqlite")
    serving.execute("DELETE FROM lists WHERE viewer_id = ?", (made.id("ann"),))
    serving.close()
    jobs.run(settings, "all", lambda: start + 1, "waiting")
    assert lists_of(data, "ann") == wanted


def test_the_web_app_names_them_all(tmp_path: Path):
    (tmp_path / "foryou.toml").write_text(TOML)
    port = free_port()
    env = commands.environment(
        tmp_path / "data",
        config=str(tmp_path / "foryou.toml"),
        listen=f"127.0.0.1:{port}",
        hostname="feed.example.com",
    )
    described: list[dict[str, str]] = []

    def answers() -> bool:
        try:
            address = f"http://127.0.0.1:{port}/xrpc/app.bsky.feed.describeFeedGenerator"
            described[:] = httpx.get(address).json()["feeds"]
        except httpx.TransportError:
            return False
        return True

    with commands.running("serve", env=env):
        wait_until(answers)
    assert [feed["uri"].rpartition("/")[2] for feed in described] == ["for-you", "quiet", "videos", "close"]
