"""sql/batch and sql/checks: steps keep to their headers, parameters are declared, each check finds its fault."""

import random
import re
from dataclasses import asdict

import duckdb
import pytest
from batch_tools import INPUTS, candidates_by_sql, duck, neighbours_by_sql
from test_sql_headers import header, listed
from worlds import World

import sql
from pipeline import identifiers
from pipeline.batch.inputs import sql_steps
from pipeline.batch.lists.checks import SAMPLE_ENTRIES, check_relations, sampled
from pipeline.errors import BatchError
from pipeline.ranking import Ranking
from pipeline.store.model import PostFlag

RANKING = Ranking()
STEPS = sql_steps.SEEDS + sql_steps.NEIGHBOURS
STEPS += sql_steps.BEFORE_CANDIDATES[len(sql_steps.LIKES) :] + sql_steps.CANDIDATES
RUN_VARIABLES = {
    "snapshot_us",
    "window_hours",
    "whole_hours",
    "forecast_hours",
    "first_author",
    "last_author",
} | {
    "experiment",
    "from_share",
    "until_share",
    "is_control",
    "reported_late_us",
}
USUAL_TYPES = {
    r".*_id|.*_no|position|rank": "INTEGER",
    r".*_us|(.*_)?rkey|likes|(co_)?likers": "BIGINT",
    "did|event|language|langs": "VARCHAR",
}
ALL = sql.names("batch") + sql.names("checks")


def test_every_parameter_is_declared_and_used():
    used = {v for name in ALL for v in re.findall(r"getvariable\('(\w+)'\)", sql.load(name))}
    assert used == sql_steps.declared()


def test_defaults_equal_those_of_ranking():
    connection = duckdb.connect()
    connection.execute(sql.load("batch/params"))
    values = dict(connection.execute("SELECT name, value FROM duckdb_variables()").fetchall())
    assert set(values) == sql_steps.declared()
    for name in sql_steps.declared() - RUN_VARIABLES:
        assert float(values[name]) == asdict(RANKING)[name], name
    assert float(values["window_hours"]) == RANKING.seed_window_days * 24
    connection.close()


def test_undeclared_variables_are_refused():
    connection = duckdb.connect()
    with pytest.raises(ValueError, match="max_seed is not declared"):
        sql_steps.set_variables(connection, {"max_seed": 1})
    connection.close()


def test_the_flags_that_bar_a_post():
    assert int(PostFlag.REPLY | PostFlag.ADULT | PostFlag.HIDE) == 7
    assert int(PostFlag.SIGNED_IN) == 128


def small_world() -> World:
    world = World().post("q1", by="dan").post("q2", by="eve", langs="en,pt").post("own", by="ann")
    for name in ("ann", "bob", "cat"):
        world.like(name, "p1", hours_ago=9).visit(name)
    world.like("bob", "q1").like("cat", "q2").like("ann", "q1", hours_ago=2).like("cat", "own").unlike(
        "bob", "p1"
    )
    return world.interaction("ann", "q2", "interactionSeen")


def test_what_lists_are_made_of_does_not_depend_on_the_order_of_rows():
    """Which is another with every number of threads: a sum of the same numbers has other last bits then."""
    chance, world = random.Random(4), World()
    for number in range(12):
        world.post(f"q{number}", by=f"author{number}")
    for number in range(300):
        for post in chance.sample(range(12), 4):
            world.like(f"liker{number}", f"q{post}", hours_ago=chance.uniform(0.1, 40))
    connection = duck(world, RANKING)
    neighbours_by_sql(connection, RANKING)
    candidates_by_sql(connection, RANKING)
    found = []
    for order in ("liker_id, author_id", "hash(liker_id), author_id", "seen_us"):
        connection.execute(f"CREATE OR REPLACE TABLE likes AS FROM likes ORDER BY {order}")
        for name in ("fresh_likes", "crowd_likers", "popular", "crowd_shares", "crowds"):
            sql_steps.run_file(connection, name)
        both = [
            connection.execute(f"FROM {name} ORDER BY language, post_no").fetchall()
            for name in ("popular", "crowds")
        ]
        sums = connection.execute("SELECT now FROM crowd_shares ORDER BY post_no").fetchall()
        found.append((both, sums))
    assert found[0][0] == found[1][0] == found[2][0]
    assert len({str(sums) for _, sums in found}) > 1  # else this test says nothing


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    made = (
        "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
    )
    return {row[0] for row in connection.execute(made).fetchall()}


def usual_type(column: str) -> str:
    """Return the type of a column whose header does not tell it, as sql/README.md says."""
    for pattern, kind in USUAL_TYPES.items():
        if re.fullmatch(pattern, column):
            return kind
    return "DOUBLE"


def test_each_step_reads_and_writes_what_its_header_says():
    """Run in a database that holds only its declared reads, each file makes exactly its writes, of its columns."""
    whole = duck(small_world(), RANKING)
    for step in STEPS:
        fields = header(f"batch/{step}")
        reads, writes = (set(listed(fields[field])) for field in ("Reads", "Writes"))
        alone = duckdb.connect(config={"threads": 1})
        sql_steps.prepare(alone, RANKING, small_world().now_us)
        for read in reads:
            alone.register("given", whole.sql(f"FROM {read}").to_arrow_table())
            alone.execute(f"CREATE TABLE {read} AS SELECT * FROM given")
            alone.unregister("given")
        alone.execute(sql.load(f"batch/{step}"))
        assert tables(alone) - reads == writes == {step}
        made = [f"{name} {kind}" for name, kind, *_ in alone.execute(f"DESCRIBE {step}").fetchall()]
        assert made == [
            text if " " in text else f"{text} {usual_type(text)}" for text in listed(fields["Columns"])
        ]
        alone.close()
        sql_steps.run_file(whole, step)
    assert tables(whole) == {*INPUTS, *STEPS}
    whole.close()


def test_tids_read_as_in_python():
    chance = random.Random(1)
    numbers = [0, 1, 1023, 1024, 2**62, 2**63 - 1, *(chance.randrange(2**63) for _ in range(500))]
    texts = [identifiers.tid_from_int(number) for number in numbers]
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(sql.load("batch/macros"))
    rows = connection.execute(
        "SELECT tid_number(t), tid_text(n), post_uri('did:plc:x', n) "
        "FROM (SELECT unnest(?::VARCHAR[]) AS t, unnest(?::BIGINT[]) AS n)",
        [texts, numbers],
    ).fetchall()
    uris = [identifiers.post_uri("did:plc:x", number) for number in numbers]
    assert rows == list(zip(numbers, texts, uris, strict=True))
    for text in ("", "no tid", "k222222222222", "2222222222221", "22222222222222"):
        assert connection.execute("SELECT tid_number(?)", [text]).fetchall() == [(None,)]
    connection.close()


FAULTS = {
    "duplicate_posts": "INSERT INTO lists SELECT viewer_id, 2, post_no, score, co_likers, source FROM lists LIMIT 1",
    "own_posts": "UPDATE lists SET viewer_id = (SELECT author_id FROM candidate_posts p WHERE p.post_no = "
    "lists.post_no)",
    "liked_posts": "INSERT INTO likes SELECT viewer_id, author_id, rkey, 0 FROM lists JOIN candidate_posts "
    "USING (post_no)",
    "refused_posts": "INSERT INTO feedback SELECT viewer_id, post_no, 'requestLess' FROM lists",
    "unfit_posts": "UPDATE posts SET flags = 1",
    "positions": "UPDATE lists SET position = position + 1",
    "author_cap": "INSERT INTO lists SELECT viewer_id, position + 4 * i, post_no + 1000 * i, score, co_likers, source "
    "FROM lists, range(1, 9) AS r (i); INSERT INTO candidate_posts BY NAME SELECT p.* REPLACE (post_no + 1000 * i AS "
    "post_no) FROM candidate_posts AS p, range(1, 9) AS r (i)",
    "author_spacing": "INSERT INTO lists SELECT viewer_id, position + 1, post_no + 1000, score, co_likers, source "
    "FROM lists; INSERT INTO candidate_posts BY NAME SELECT * REPLACE (post_no + 1000 AS post_no) "
    "FROM candidate_posts",
    "entries": "UPDATE lists SET score = 'nan'",
    "empty_lists": "UPDATE lists SET source = 2",
    "trial_places": "UPDATE lists SET source = 3",
    "unknown_viewers": "UPDATE actors SET status = 1",
    "public_posts": "UPDATE posts SET flags = 128",
    "withheld_posts": "INSERT INTO withheld SELECT author_id, rkey, 1, 3 FROM candidate_posts",
    "popular_posts": "UPDATE lists SET source = 2; "
    "INSERT INTO withheld SELECT author_id, -1, 2, 2 FROM candidate_posts",
    "fallback_duplicates": "INSERT INTO fallbacks SELECT * FROM fallbacks",
}


@pytest.fixture
def staged():
    """A finished run with one list and one fallback list, which passes every check."""
    connection = duck(small_world(), RANKING)
    neighbours_by_sql(connection, RANKING)
    candidates_by_sql(connection, RANKING)
    connection.execute(
        "CREATE TABLE lists AS SELECT viewer_id, position, post_no, score, co_likers::INTEGER AS co_likers, "
        "1::UTINYINT AS source FROM ranked WHERE viewer_id = (SELECT min(viewer_id) FROM ranked) AND position = 1"
    )
    connection.execute(
        "CREATE TABLE fallbacks AS SELECT language, position, post_no, score FROM popular WHERE position = 1"
    )
    connection.execute(
        "CREATE VIEW listed_posts AS SELECT post_no FROM lists UNION SELECT post_no FROM fallbacks"
    )
    connection.execute("CREATE VIEW listed_viewers AS SELECT DISTINCT viewer_id FROM lists")
    yield connection
    connection.close()


def test_good_lists_pass(staged: duckdb.DuckDBPyConnection):
    assert staged.execute("SELECT count(*) FROM lists").fetchall() == [(1,)]
    assert check_relations(staged) == len(FAULTS)


@pytest.mark.parametrize("name", [name.split("/")[1] for name in sql.names("checks")])
def test_each_check_finds_its_fault(staged: duckdb.DuckDBPyConnection, name: str):
    staged.execute(FAULTS[name])
    assert staged.execute(sql.load(f"checks/{name}")).fetchall()
    with pytest.raises(
        BatchError, match=r"^check \w+ found \d+ rows, nothing was published; for example \w+ "
    ):
        check_relations(staged)


def test_of_many_lists_a_sample_is_checked(staged: duckdb.DuckDBPyConnection):
    """A fault in every list is found in the sample too, and the lists are whole again afterwards."""
    staged.execute(
        "INSERT INTO lists SELECT viewer_id + 1000000 * i, position + 1, post_no, score, co_likers, source "
        "FROM lists, range(1, 2000) AS r (i)"
    )
    with (
        pytest.raises(BatchError, match=r"check positions found [67]\d\d rows"),
        sampled(staged, 3 * SAMPLE_ENTRIES),
    ):
        check_relations(staged)
    assert staged.execute("SELECT count(*) FROM lists").fetchall() == [(2000,)]
