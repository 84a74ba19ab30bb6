"""How different first pages are: the SQL of a run against a count by hand, and what an operator reads of it."""

import math
import random
from pathlib import Path

import duckdb
import pytest
from batch_tools import settings_for
from worlds import World

import sql
from pipeline.batch import jobs
from pipeline.batch.inputs import sql_steps
from pipeline.operate.status.gather import gather
from pipeline.operate.status.lines import lines
from pipeline.store.model import HOUR_US
from sql.sqlite import connect

NOW_US = 1_795_489_210_000_000


def counted(
    lists: dict[int, list[int]], posts: list[tuple[int, int, float]], strangers: dict[int, int]
) -> list[float]:
    """Count by hand; a post is its author, its likers and its age in hours."""
    pages = {viewer: listed[:30] for viewer, listed in lists.items()}
    places = [post for page in pages.values() for post in page]
    shared = sum(post in pages[strangers[viewer]] for viewer, page in pages.items() for post in page)
    by_author: dict[int, int] = {}
    for post in places:
        by_author[posts[post][0]] = by_author.get(posts[post][0], 0) + 1
    most = sorted(by_author.values(), reverse=True)[: math.ceil(len(by_author) / 100)]
    return [
        shared / len(places),
        sum(posts[post][1] <= 5 for post in places) / len(places),
        sum(posts[post][2] < 1 for post in places) / len(places),
        sum(most) / len(places),
    ]


def by_sql(
    lists: dict[int, list[int]], posts: list[tuple[int, int, float]]
) -> tuple[list[float], dict[int, int]]:
    """Return what the file counts, and which stranger each list was compared with."""
    connection = duckdb.connect()
    connection.execute(sql.load("batch/macros"))
    connection.execute(sql.load("batch/params"))
    sql_steps.set_variables(connection, {"snapshot_us": NOW_US})
    connection.execute("CREATE TABLE lists (viewer_id INTEGER, position INTEGER, post_no INTEGER)")
    rows = [
        (viewer, place + 1, post) for viewer, listed in lists.items() for place, post in enumerate(listed)
    ]
    connection.execute(
        "CREATE TABLE candidate_posts (post_no INTEGER, author_no INTEGER, likers BIGINT, created_us BIGINT)"
    )
    if rows:
        connection.executemany("INSERT INTO lists VALUES (?, ?, ?)", rows)
        connection.executemany(
            "INSERT INTO candidate_posts VALUES (?, ?, ?, ?)",
            [
                (n, author, likers, NOW_US - int(age * HOUR_US))
                for n, (author, likers, age) in enumerate(posts)
            ],
        )
    (found,) = connection.execute(sql.load("batch/first_pages")).fetchall()
    order = [row[0] for row in connection.execute(
        "SELECT viewer_id FROM (SELECT DISTINCT viewer_id FROM lists) ORDER BY hash(viewer_id), viewer_id"
    ).fetchall()]  # fmt: skip
    return list(found), dict(zip(order, order[1:] + order[:1], strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_the_sql_counts_what_a_loop_counts(seed: int) -> None:
    chance = random.Random(seed)
    posts = [
        (chance.randrange(1, chance.choice((3, 40, 400))), chance.randrange(1, 12), chance.uniform(0, 3))
        for _ in range(300)
    ]
    lists = {
        viewer * 7: chance.sample(range(300), chance.choice((1, 20, 30, 200)))
        for viewer in range(chance.randrange(2, 30))
    }
    found, strangers = by_sql(lists, posts)
    assert found == pytest.approx(counted(lists, posts, strangers), rel=1e-9)


def test_alike_unlike_alone_and_nothing() -> None:
    posts = [(n, 9, 2.0) for n in range(60)]
    assert by_sql({1: list(range(30)), 2: list(range(29, -1, -1))}, posts)[0][0] == 1
    assert by_sql({1: list(range(30)), 2: list(range(30, 60))}, posts)[0][0] == 0
    assert by_sql({1: list(range(30))}, posts)[0] == [None, 0, 0, 1 / 30]
    assert by_sql({}, posts)[0] == [None, None, None, None]


def test_a_run_for_everybody_says_it_and_status_repeats_it(tmp_path: Path) -> None:
    world = World().visit("ann").visit("cat")
    for name in ("ann", "bob", "cat"):
        world.like(name, "p1", hours_ago=40)
    world.post("q1", by="dan").like("bob", "q1", hours_ago=0.5)
    settings = settings_for(world.write(tmp_path))
    jobs.run(settings, "all")
    serving = connect(tmp_path / "serving.sqlite", read_only=True)
    columns = "in_common, few_likers, under_hour, top_authors"
    (row,) = serving.execute(f"SELECT {columns} FROM generations WHERE everybody").fetchall()
    in_common, few_likers, under_hour, top_authors = row
    serving.close()
    assert in_common == 1 and few_likers == 1 and top_authors == 1
    (line,) = (line.text for line in lines(gather(settings)) if line.subject == "first pages")
    assert line == (
        "two strangers have 100% in common; 100% of posts have five likers or fewer, "
        f"{under_hour:.0%} are under an hour old; the most shown hundredth of authors has 100% of places"
    )
