"""Publishing: whole generations or nothing, wherever it is stopped; what is kept and what is pruned."""

import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_tools import settings_for
from list_bytes import unpack
from worlds import NOW_US, World

from pipeline.batch import candidates_job as job
from pipeline.batch import jobs
from pipeline.batch.inputs.neighbour_files import files_of
from pipeline.batch.publish import generations, write_lists
from pipeline.errors import BatchError
from pipeline.feeds import Feed
from pipeline.ranking import Ranking
from sql.sqlite import connect, migrate

RANKING = Ranking()
START = NOW_US / 1e6


def world(liked: int = 3, *, now_us: int = NOW_US, visits_later: float = 0.0) -> World:
    """Five viewers who share p1; bob has liked the first ``liked`` of q0, q1 and so on.

    All have asked for a page, ``visits_later`` seconds after START.
    """
    made = World(now_us)
    for name in ("ann", "bob", "cat", "dan", "eve"):
        made.like(name, "p1", hours_ago=30).visit(name, hours_ago=-visits_later / 3_600)
    for i in range(liked):
        made.post(f"q{i}", by=f"author{i}", hours_ago=i + 1).like("bob", f"q{i}", hours_ago=0.5)
    return made


def open_serving(data_dir: Path) -> sqlite3.Connection:
    serving = connect(data_dir / "serving.sqlite")
    migrate(serving, "serving")
    return serving


def steps(
    data_dir: Path,
    serving: sqlite3.Connection,
    seconds: float = START,
    ranking: Ranking = RANKING,
    recent: list[str] | None = None,
):
    feed = Feed("for-you", ranking)
    files = files_of(data_dir, [feed])[0]
    return job.candidates(files, job.FeedToPublish(feed, ("for-you",), recent), 1, serving, lambda: seconds)


def make(data_dir: Path, made: World, seconds: float = START, ranking: Ranking = RANKING) -> None:
    """Write the world and publish a generation of it."""
    made.write(data_dir)
    settings = settings_for(data_dir)
    jobs.run(settings, "neighbours")
    serving = open_serving(data_dir)
    list(steps(data_dir, serving, seconds, ranking))
    serving.close()


def test_the_web_app_knows_what_is_in_a_post(tmp_path: Path) -> None:
    made = world(1).post("q0", by="author0", flags=8 | 64 | 128, langs="de,fr")
    make(tmp_path, made)
    with closing(open_serving(tmp_path)) as serving:
        assert serving.execute("SELECT langs, media FROM posts").fetchall() == [("de,fr", 8 | 64)]
        serving.execute("UPDATE posts SET media = NULL")  # as an earlier version left it
    make(tmp_path, made, START + 60)
    with closing(open_serving(tmp_path)) as serving:
        assert serving.execute("SELECT langs, media FROM posts").fetchall() == [("de,fr", 8 | 64)]


def visible(data_dir: Path, generation: int | None = None) -> dict[str, object]:
    """Return what a reader sees: the newest generation, and each viewer's posts."""
    serving = connect(data_dir / "serving.sqlite", read_only=True)
    try:
        return look(serving, generation)
    finally:
        serving.close()


def look(serving: sqlite3.Connection, generation: int | None = None) -> dict[str, object]:
    serving.execute("BEGIN")
    newest = serving.execute("SELECT coalesce(max(generation), 0) FROM generations").fetchone()[0]
    wanted = newest if generation is None else generation
    uris = dict(serving.execute("SELECT post_id, uri FROM posts"))
    lists = serving.execute(
        "SELECT viewer_id, items, max(generation) FROM lists WHERE generation <= ? GROUP BY viewer_id",
        (wanted,),
    ).fetchall()
    fallbacks = serving.execute(
        "SELECT language, items, max(generation) FROM fallbacks WHERE generation <= ? GROUP BY language",
        (wanted,),
    ).fetchall()
    serving.execute("COMMIT")
    named = {key: [uris[item[0]] for item in unpack(items)] for key, items, _ in lists + fallbacks}
    return {"generation": wanted, **{str(key): value for key, value in named.items()}}


def test_a_generation_is_what_the_lists_say(tmp_path: Path):
    made = world()
    make(tmp_path, made)
    seen = visible(tmp_path)
    expected = [made.uri("q0"), made.uri("q1"), made.uri("q2")]
    assert seen["generation"] == 1
    assert seen[str(made.id("ann"))] == expected == seen[""]
    assert str(made.id("bob")) not in seen  # bob has liked all there is
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert serving.execute("SELECT * FROM feeds").fetchall() == [(1, "for-you")]
    assert serving.execute("SELECT did FROM viewers WHERE viewer_id = ?", (made.id("ann"),)).fetchone() == (
        "did:plc:ann",
    )
    assert serving.execute("SELECT snapshot_us, published_us, lists, items FROM generations").fetchall() == [
        (NOW_US, NOW_US, 4, 12)
    ]
    kept_until = 1 + generations.KEPT_AHEAD
    assert serving.execute("SELECT likers, last_generation FROM posts").fetchall() == [(1, kept_until)] * 3
    serving.close()


def test_stopped_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After each step the files are as kill -9 would leave them: readers see one whole generation."""
    monkeypatch.setattr(write_lists, "CHUNK_LISTS", 2)
    monkeypatch.setattr(generations, "CHUNK_ROWS", 2)
    data = tmp_path / "data"
    make(data, world(2))
    old = visible(data)
    world(4).write(data)
    shutil.copytree(data, tmp_path / "whole")
    make(tmp_path / "whole", world(4))
    new = visible(tmp_path / "whole")
    assert new["generation"] == 2
    assert new.keys() == old.keys()
    assert all(new[key] != old[key] for key in new)
    jobs.run(settings_for(data), "neighbours")
    serving = open_serving(data)
    published = []
    for number, (step, _) in enumerate(steps(data, serving)):
        if step in ("checks", "viewers", "posts", "lists", "feed") or published:
            published += [number] if step == "lists" else []
            left = tmp_path / f"left-{number}"
            shutil.copytree(data, left)
            assert visible(left) == (new if published else old), step
            make(left, world(4))
            again = visible(left)
            assert {**again, "generation": 2} == new, step
            assert again["generation"] == (3 if published else 2)
    serving.close()
    assert published


def test_a_failed_check_publishes_nothing(tmp_path: Path):
    """A list that names a post twice: the run ends with the check's name, readers keep the old generation."""
    make(tmp_path, world(2))
    old = visible(tmp_path)
    world(3).write(tmp_path)
    serving = open_serving(tmp_path)
    going = steps(tmp_path, serving)
    next(rows for step, rows in going if step == "product")
    staged = tmp_path / "tmp" / "lists.parquet"
    lists = pq.read_table(staged)
    pq.write_table(pa.concat_tables([lists, lists]), staged)
    with pytest.raises(BatchError, match="check author_spacing found"):
        list(going)
    serving.close()
    assert visible(tmp_path) == old


def test_an_unchanged_list_is_not_written_again(tmp_path: Path):
    make(tmp_path, world())
    make(tmp_path, world(), START + 60)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert serving.execute("SELECT generation, lists, items FROM generations").fetchall() == [
        (1, 4, 12),
        (2, 0, 0),
    ]
    assert serving.execute("SELECT DISTINCT generation FROM lists").fetchall() == [(1,)]
    serving.close()


def test_posts_are_written_again_when_they_would_go_or_everybody_is_told_of_likers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With one generation ahead, those of the first stay as they are in the second; q1 has a second liker by then.

    q0 has one in the fourth, which is for ann alone and so tells nobody.
    """
    monkeypatch.setattr(generations, "KEPT_AHEAD", 1)
    found = []
    for number in range(1, 4):
        made = world()
        if number > 1:
            made.like("eve", "q1", hours_ago=0.4)
        make(tmp_path, made, START + number)
        serving = connect(tmp_path / "serving.sqlite", read_only=True)
        found.append(serving.execute("SELECT likers, last_generation FROM posts ORDER BY uri").fetchall())
        serving.close()
    assert found == [
        [(1, 2), (1, 2), (1, 2)],
        [(1, 2), (2, 3), (1, 2)],
        [(1, 4), (2, 3), (1, 4)],
    ]
    made.like("eve", "q0", hours_ago=0.3).write(tmp_path)
    serving = open_serving(tmp_path)
    done = list(steps(tmp_path, serving, START + 5, recent=["did:plc:ann"]))
    assert [rows for step, rows in done if step == "posts"] == [1]  # q1 alone would go; the others are stored
    assert serving.execute("SELECT likers, last_generation FROM posts ORDER BY uri").fetchall() == [
        (1, 4),
        (2, 5),
        (1, 4),
    ]
    serving.close()


def test_generations_are_kept_for_half_an_hour_and_at_least_two(tmp_path: Path):
    """A generation every ten minutes: at the seventh, those visible in the last 30 minutes (3 to 7) stay readable."""
    for minute in range(0, 70, 10):
        make(tmp_path, world(2 + minute // 10, visits_later=minute * 60.0), START + minute * 60)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    for query in (
        "SELECT generation FROM generations",
        "SELECT DISTINCT generation FROM lists ORDER BY 1",
        "SELECT DISTINCT generation FROM fallbacks ORDER BY 1",
    ):
        assert [row[0] for row in serving.execute(query)] == [3, 4, 5, 6, 7], query
    serving.close()
    assert len(visible(tmp_path, 4)["4"]) == 5  # type: ignore[arg-type]
    make(tmp_path, world(9, visits_later=86_000.0), START + 86_000)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert [row[0] for row in serving.execute("SELECT generation FROM generations")] == [7, 8]
    serving.close()


def test_the_oldest_kept_generation_keeps_a_list_from_before_it(tmp_path: Path):
    """Written in 1, unchanged in 2, new in 3: with 2 and 3 kept, a reader of 2 still needs the list of 1."""
    short = replace(RANKING, keep_minutes=0.0)
    for number, liked in enumerate((2, 2, 4), start=1):
        make(tmp_path, world(liked, visits_later=60.0), START + number, short)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert serving.execute("SELECT DISTINCT generation FROM lists ORDER BY 1").fetchall() == [(1,), (3,)]
    assert serving.execute("SELECT generation FROM generations").fetchall() == [(1,), (2,), (3,)]
    serving.close()
    made = world(4)
    ann = str(made.id("ann"))
    assert visible(tmp_path, 2)[ann] == [made.uri("q0"), made.uri("q1")]
    make(tmp_path, world(5), START + 4, short)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert serving.execute("SELECT generation FROM generations").fetchall() == [(3,), (4,)]
    serving.close()


def test_posts_leave_with_the_last_list_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(generations, "KEPT_AHEAD", 0)
    short = replace(RANKING, keep_minutes=0.0)
    for number in range(4):
        made = World()
        for name in ("ann", "bob"):
            made.like(name, "p1", hours_ago=30)
        made.post(f"q{number}", by="zed", hours_ago=number + 1).like("bob", f"q{number}", hours_ago=0.5)
        make(tmp_path, made, START + number, short)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert serving.execute("SELECT last_generation FROM posts ORDER BY 1").fetchall() == [(3,), (4,)]
    serving.close()


def test_a_viewer_without_a_new_list_is_forgotten_after_a_day(tmp_path: Path):
    make(tmp_path, world())
    gone = world(4).actor("ann", status=4)
    make(tmp_path, gone, START + 86_000)
    assert str(gone.id("ann")) in visible(tmp_path)
    make(tmp_path, world(5).actor("ann", status=4), START + 87_000)
    assert str(gone.id("ann")) not in visible(tmp_path)
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    assert serving.execute("SELECT count(*) FROM viewers WHERE did = 'did:plc:ann'").fetchone() == (0,)
    serving.close()


def test_a_reader_beside_the_batch_sees_whole_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(write_lists, "CHUNK_LISTS", 1)
    make(tmp_path, world(1))
    stop, seen = threading.Event(), []

    def read() -> None:
        serving = connect(tmp_path / "serving.sqlite", read_only=True)
        while not stop.is_set():
            found = look(serving)
            if not seen or seen[-1] != found:
                seen.append(found)
        serving.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(2, 6):
            make(tmp_path, world(number), START + number)
    finally:
        stop.set()
        reader.join()
    assert [found["generation"] for found in seen] == sorted({found["generation"] for found in seen})
    assert seen[-1]["generation"] == 5
    for found in seen:
        assert found == visible(tmp_path, int(str(found["generation"])))
