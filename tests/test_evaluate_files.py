"""Files as others publish them go through ``foryou evaluate`` unprepared, and it says what it made of them."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard
from evaluation_sets import LIKES, SECONDS, mind, movielens, texts

from pipeline import cli
from pipeline.evaluate.event_files import from_file
from pipeline.evaluate.like_events import EvaluateError, LikeEvents
from pipeline.evaluate.splits import REPORTED, TUNING, moments
from pipeline.store.model import HOUR_US

BRIEF = ("--windows", "2", "--methods", "popular", "--trials", "2", "--tuning-users", "20", "--users", "50")


def said(path: Path, **options: object) -> tuple[LikeEvents, str]:
    """Return the events of a file, and all that was said of it."""
    lines: list[str] = []
    events = from_file(path, say=lines.append, **options)  # type: ignore[arg-type]
    return events, "\n".join(lines)


def named_likes(events: LikeEvents) -> set[tuple[str, str, int]]:
    """Return likes by the file's own names."""
    users = pl.Series(events.user_keys) if events.user_texts is None else events.user_texts
    items = pl.Series(events.item_keys) if events.item_texts is None else events.item_texts
    return set(
        zip(
            users[events.users].cast(pl.String).to_list(),
            items[events.items].cast(pl.String).to_list(),
            events.times_us.tolist(),
            strict=True,
        )
    )


Make = Callable[[Path], Path]
NAMES: dict[Make, Callable[[int, int], tuple[str, str]]] = {
    movielens: lambda user, item: (str(user + 1), str(item * 7)),
    mind: lambda user, item: (f"U{user}", f"N{item}"),
    texts: lambda user, item: (f"did:plc:{user:024}", f"at://did:plc:a/app.bsky.feed.post/{item}"),
}


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (movielens, "ratings.csv", ("commas", "a header", "'movieId'", "seconds", "4.5 to 4.5")),
        (mind, "behaviors.tsv", ("tabs", "no header", "were clicked", "without a zone, taken as UTC")),
        (texts, "likes.parquet", ("Parquet", "'actor_did'", "'post_uri'", "with a zone")),
    ],
)
def test_usual_sets_go_through_unprepared(
    make: Make, name: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / name)
    events, _ = said(path)
    assert named_likes(events) == {
        (*NAMES[make](user, item), int(at.timestamp()) * 1_000_000) for user, item, at in LIKES.iter_rows()
    }
    assert cli.main(["evaluate", str(path), *BRIEF]) == 0
    printed = capsys.readouterr()
    assert all(word in printed.err for word in words)
    assert f"Evaluation of the set '{path.stem}': {len(LIKES):,} likes by 60 users" in printed.out


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_compressed_files_are_read_as_they_are(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    plain = movielens(tmp_path / "ratings.csv")
    packed = tmp_path / "ratings.csv.packed"
    packed.write_bytes(pack(plain.read_bytes()))
    assert named_likes(said(packed)[0]) == named_likes(said(plain)[0])


def test_other_forms_of_the_same(tmp_path: Path) -> None:
    """MovieLens 1M (::), 100K (tabs, no header), RecBole's typed names, JSON lines, numbers as text, semicolons."""
    expected = named_likes(said(movielens(tmp_path / "ratings.csv"))[0])
    rows = list(zip(LIKES["user"] + 1, LIKES["item"] * 7, SECONDS, strict=True))
    (tmp_path / "ratings.dat").write_text("".join(f"{u}::{i}::5::{t}\n" for u, i, t in rows))
    (tmp_path / "u.data").write_text("".join(f"{u}\t{i}\t5\t{t}\n" for u, i, t in rows))
    (tmp_path / "ml.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n" + "".join(f"{u}\t{i}\t{t}.0\n" for u, i, t in rows)
    )
    (tmp_path / "reviews.json").write_text(
        "".join(f'{{"reviewerID": {u}, "asin": {i}, "unixReviewTime": {t}}}\n' for u, i, t in rows)
    )
    (tmp_path / "quoted.csv").write_text(
        '"Customer ID";"SKU";"Date"\n' + "".join(f'"{u}";"{i}";"{t}"\n' for u, i, t in rows)
    )
    for name in ("ratings.dat", "u.data", "ml.inter", "reviews.json", "quoted.csv"):
        assert named_likes(said(tmp_path / name)[0]) == expected, name


def test_ids_that_look_like_numbers_at_first(tmp_path: Path) -> None:
    path = tmp_path / "likes.csv"
    rows = [f"{number},7,{1_573_257_600 + number}" for number in range(12_000)] + ["0x1f,7,1573257600"]
    path.write_text("user,item,time\n" + "\n".join(rows) + "\n")
    events, _ = said(path)
    assert events.user_count == 12_001 and events.user_texts is not None
    assert set(events.user_texts.to_list()) >= {"0x1f", "11999"}


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("ts", SECONDS, "seconds since 1970"),
        ("ts", SECONDS * 1000, "milliseconds since 1970"),
        ("ts", SECONDS * 1_000_000, "microseconds since 1970"),
        ("ts", SECONDS * 1_000_000_000, "nanoseconds since 1970"),
        ("time", SECONDS.cast(pl.Float64) + 0.25, "seconds since 1970"),
        # What the name says is wrong: as milliseconds, seconds of 2019 are of January 1970.
        ("ts_ms", SECONDS, "seconds since 1970, UTC, whatever its name says: in milliseconds they would be of"),
        ("time", LIKES["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "with a zone"),
        ("time", LIKES["at"].dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%dT%H:%M:%S%z"), "with a zone"),
        ("time", LIKES["at"].dt.strftime("%Y-%m-%d %H:%M:%S.%3f"), "without a zone, taken as UTC"),
    ],
)  # fmt: skip
def test_times_are_understood_and_what_was_understood_is_said(
    name: str, values: pl.Series, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "likes.csv"
    LIKES.select("user", "item", values.alias(name)).write_csv(path)
    events, text = said(path)
    assert words in text and "from 2019-11-09" in text
    assert (events.times_us // 1_000_000).tolist() == SECONDS.to_list()


def test_times_from_another_beginning_need_a_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "likes.csv"
    since = SECONDS - SECONDS[0]
    LIKES.select("user", "item", since.alias("time")).write_csv(path)
    with pytest.raises(
        EvaluateError, match="no times since 1970 in any usual unit; state the unit: --time-unit"
    ):
        from_file(path)
    events, text = said(path, unit="s")
    assert "seconds, as stated" in text
    assert (events.times_us // 1_000_000).tolist() == since.to_list()
    LIKES.select("user", "item", (since * 1000).alias("ts_ms")).write_csv(path)
    events, text = said(path)
    assert "milliseconds, as its name says, from a beginning other than 1970" in text
    assert (events.times_us // 1_000_000).tolist() == since.to_list()
    # Seconds under such a name span minutes: no window fits, and the error says why.
    LIKES.select("user", "item", since.alias("ts_ms")).write_csv(path)
    assert cli.main(["evaluate", str(path), *BRIEF]) == 1
    assert "its likes span 0.0959 hours" in capsys.readouterr().err


def test_a_wrong_unit_is_recognised_instead_of_no_window_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "likes.csv"
    LIKES.select("user", "item", SECONDS.alias("ts_ms")).write_csv(path)
    assert cli.main(["evaluate", str(path), *BRIEF]) == 0
    assert "whatever its name says" in capsys.readouterr().err
    assert cli.main(["evaluate", str(path), "--time-unit", "ms", *BRIEF]) == 1
    error = capsys.readouterr().err
    assert "milliseconds, as stated, although they look like seconds" in error
    assert "its likes span 0.0959 hours" in error and "Is the unit of the times right" in error
    mixed = pl.concat([SECONDS[:700], SECONDS[700:] * 1000])
    LIKES.select("user", "item", mixed.alias("time")).write_csv(path)
    with pytest.raises(EvaluateError, match=r"mixes units: .*% seconds, .*% milliseconds"):
        from_file(path)


def test_rows_that_lack_something_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "likes.csv"
    path.write_text(
        "user,item,time\n"
        + "".join(f"{n},{n % 7},{1_573_257_600 + n}\n" for n in range(300))
        + "1,,1573257600\n,5,1573257600\n2,3,0\n"
    )
    events, text = said(path)
    assert "3 rows without a user, an item or a usable time are left out" in text
    assert len(events.users) == 300


def test_ratings_say_what_is_a_like(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "userId,movieId,rating,timestamp\n"
        + "".join(f"{n},{n % 7},{n % 6},{1_573_257_600 + n}\n" for n in range(60))
    )
    events, text = said(path)
    assert "ratings from 0 to 5: 50 of 60 are above 0 and count as likes; --min-rating N" in text
    assert len(events.users) == 50
    events, text = said(path, least_rating=4)
    assert len(events.users) == 20 and "20 of 60 are of 4 or more" in text


def test_columns_can_be_stated(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    rows = [(n % 5, n % 7, 1_573_257_600 + n) for n in range(35)]
    path.write_text("who,what,moment\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows))
    with pytest.raises(EvaluateError, match="--columns user=1,item=2,time=3"):
        from_file(path)
    stated = from_file(path, {"user": "who", "item": "what", "time": "moment"})
    path.write_text("".join(f"{t},{u},{i}\n" for u, i, t in rows))
    by_place = from_file(path, {"user": "2", "item": "3", "time": "1"})
    assert named_likes(stated) == named_likes(by_place)
    assert len(stated.users) == 35


def test_a_later_file_is_reported_and_never_tuned_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set cut at a moment: the same likes as whole; all moments to tune on are before it, all reported after it."""
    whole = tmp_path / "whole.parquet"
    texts(whole)
    likes = pl.read_parquet(whole).sort("created_at")
    cut = len(likes) * 3 // 5
    while likes["created_at"][cut] == likes["created_at"][cut - 1]:
        cut += 1
    earlier, later = tmp_path / "earlier.parquet", tmp_path / "later.parquet"
    likes[:cut].write_parquet(earlier)
    likes[cut:].write_parquet(later)
    events, _ = said(earlier, later=later)
    assert named_likes(events) == named_likes(said(whole)[0])
    begin_us = events.later_us
    assert begin_us == said(later)[0].times_us[0]
    for count in (1, 3, 20):
        tuned, reported = (moments(events, count, 2.0, part) for part in (TUNING, REPORTED))
        assert tuned and reported and max(tuned) + 2 * HOUR_US <= begin_us <= min(reported)
    page = tmp_path / "figures.json"
    command = ["evaluate", str(earlier), "--later", str(later), "--window-hours", "2", "--json", str(page)]
    assert cli.main([*command, *BRIEF]) == 0
    begin = f"{datetime.fromtimestamp(begin_us / 1e6, UTC):%Y-%m-%d %H:%M}"
    figures = json.loads(page.read_text())
    assert max(figures["tuning_moments"]) < begin <= min(figures["moments"])
    capsys.readouterr()
    for arguments, text in (
        ([str(later), "--later", str(earlier)], "tuning would see what is reported"),
        (["--later", str(later)], "--later needs a first FILE"),
    ):
        assert cli.main(["evaluate", *arguments]) == 1
        assert text in capsys.readouterr().err


def test_what_is_wrong_with_a_file_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rubbish.parquet").write_bytes(b"PAR1rubbish")
    (tmp_path / "zipped.zip").write_bytes(b"PK\x03\x04rest")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "words.csv").write_text("Likes of 2019\n1 2 3\n")
    (tmp_path / "no_item.csv").write_text("userId,genre,timestamp\n1,2,1573257600\n")
    (tmp_path / "dates.csv").write_text("user,item,time\n1,2,yesterday\n")
    (tmp_path / "tested.tsv").write_text("1\tU1\t11/9/2019 9:05:58 AM\tN1\tN2-0 N3-0\n")
    (tmp_path / "lists.jsonl").write_text('{"user": 1, "item": [1, 2], "time": 1573257600}\n')
    (tmp_path / "tiny.csv").write_text("user,item,time\n1,1,1573257600\n2,1,1573257601\n")
    for name, text in (
        ("absent.parquet", "no file"),
        ("rubbish.csv", "did you mean rubbish.parquet?"),
        ("far/away.csv", "there is no folder"),
        ("rubbish.parquet", "can't read"),
        ("zipped.zip", "is a zip archive: unpack it"),
        ("nothing.csv", "is empty"),
        ("words.csv", "its first line has no separator"),
        ("no_item.csv", "no column with a usual name for item"),
        ("no_item.csv", "its columns are 'userId', 'genre', 'timestamp'"),
        ("dates.csv", "holds texts such as 'yesterday'"),
        ("tested.tsv", "impressions without clicks"),
        ("lists.jsonl", "expected a number or a text"),
        ("tiny.csv", "no window of 6 hours fits: its likes span 0.000278 hours"),
        (".", "is a folder"),
    ):
        assert cli.main(["evaluate", str(tmp_path / name), "--methods", "popular"]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("foryou: ") and text in error, (name, error)
