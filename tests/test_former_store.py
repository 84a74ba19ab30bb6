"""A store made before there was one rule for every like is taken over when ingest opens it."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import sql
from pipeline.demo.stored_likes import like_records
from pipeline.identifiers import tid_at
from pipeline.lake.compact import compact
from pipeline.lake.day_files import write_likes
from pipeline.ranking import Ranking
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.model import DAY_US, HOUR_US
from sql import places
from sql.sqlite import connect, statements

DAY = 20_400
NOW_US = (DAY + 2) * DAY_US + 2 * HOUR_US
CLOSED, OPEN = DAY * DAY_US + HOUR_US, (DAY + 2) * DAY_US + HOUR_US


def former_store(data_dir: Path) -> None:
    """Write what the program of migration 1 left: a closed day with two likes, one of them with an unlike in the lake.

    landing.sqlite has a like of today, the unlike of another of the closed day, and a like from a repository.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    landing = connect(places.landing(data_dir))
    landing.execute("CREATE TABLE _migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    for statement in statements(sql.load("landing/0001_schema")):
        landing.execute(statement)
    landing.execute("INSERT INTO _migrations VALUES (1, 'landing/0001_schema')")
    landing.executemany(
        "INSERT INTO actors (actor_id, did) VALUES (?, ?)", [(n, f"did:plc:{'abcde'[n]}") for n in range(5)]
    )
    landing.execute("UPDATE watermark SET seen_us = ?1, low_us = ?1, last_us = ?1", (NOW_US,))
    like = (DAY + 2, tid_at(OPEN), 1, 0, tid_at(CLOSED), OPEN, tid_at(OPEN + 5_000))
    landing.execute("INSERT INTO likes VALUES (?, ?, ?, ?, ?, ?, ?)", like)
    later_us = CLOSED + DAY_US
    unlike = (tid_at(CLOSED + 3), 3, DAY + 1, later_us, tid_at(later_us), 0)
    landing.execute("INSERT INTO unlikes VALUES (?, ?, ?, ?, ?, ?)", unlike)
    fetched = (tid_at(CLOSED + 4), 4, 0, tid_at(CLOSED), CLOSED + 4)
    landing.execute("INSERT INTO history_likes VALUES (?, ?, ?, ?, ?)", fetched)
    landing.close()
    likers, since = [1, 2, 3], [1, 2, 3]
    rows = {
        "author_id": pa.array([0] * 3, pa.int32()), "post_rkey": pa.array([tid_at(CLOSED)] * 3),
        "liker_id": pa.array(likers, pa.int32()), "since_post_us": pa.array(since),
        "lag_us": pa.array([0] * 3), "clock": pa.array([0] * 3, pa.int16()),
    }  # fmt: skip
    places.likes(data_dir, DAY).parent.mkdir(parents=True)
    write_likes(places.likes(data_dir, DAY), pa.table(rows))
    unlikes = {
        "liker_id": pa.array([2], pa.int32()), "rkey": pa.array([tid_at(CLOSED + 2)]),
        "seen_us": pa.array([CLOSED + 5 * HOUR_US]),
    }  # fmt: skip
    path = places.former_unlikes(data_dir) / f"day={places.day_name(DAY)}" / "unlikes.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(unlikes), path)


def keys(data_dir: Path) -> list[tuple[str, int]]:
    return sorted((like.liker[-1], like.rkey) for like in like_records(data_dir)[0])


def test_a_former_store_is_read_as_it_was(tmp_path: Path) -> None:
    former_store(tmp_path)
    expected = [("b", tid_at(CLOSED + 1)), ("b", tid_at(OPEN)), ("e", tid_at(CLOSED + 4))]
    for start in range(3):  # the second compacts, the third finds everything in the lake
        landing = Landing(tmp_path)
        assert not places.former_unlikes(tmp_path).exists()
        assert keys(tmp_path) == expected
        if start:
            list(compact(tmp_path, Ranking(), 1))
            retention = Retention(landing, tmp_path, 90)
            while retention.step():
                pass
            assert keys(tmp_path) == expected
        landing.close()


def test_taking_it_over_may_be_cut_short(tmp_path: Path) -> None:
    former_store(tmp_path)
    kept = tmp_path / "kept"
    shutil.copytree(places.former_unlikes(tmp_path), kept)
    Landing(tmp_path).close()
    shutil.copytree(kept, places.former_unlikes(tmp_path))
    Landing(tmp_path).close()
    assert len(keys(tmp_path)) == 3
