"""Likes from a file as others publish them, without preparation, and what was understood of it, line by line.

Owns: ``from_file``: formats, compression, files without a header, impressions with clicks (MIND), ratings. Leaves to
others: which column is what (``event_columns``), what times mean (``event_times``), the arrays (``like_events``).

A file's content says its format, not its name. A row without a user, an item or a time is left out and counted. Nothing
is left out, chosen or converted without a line that says so.
"""

import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import zstandard

from pipeline.evaluate.event_columns import find_columns, is_header, listed, plain
from pipeline.evaluate.event_times import times_in_us
from pipeline.evaluate.like_events import EvaluateError, LikeEvents, numbered

Say = Callable[[str], None]
SEPARATORS = {"\t": "tabs", "::": "'::'", ",": "commas", ";": "semicolons", "|": "bars"}
HEAD = 1 << 16
MANY = 10_000  # rows by which the types of columns are known
CLICK = r"^\S+-[01]$"
RATED_LINE = ["user", "item", "rating", "timestamp"]
MIND_LINE = ["impression_id", "user_id", "time", "history", "impressions"]


def from_file(
    path: Path,
    columns: Mapping[str, str] | None = None,
    unit: str | None = None,
    least_rating: float | None = None,
    say: Say = lambda line: None,
    later: Path | None = None,
) -> LikeEvents:
    """Return the likes of a file; EvaluateError says what is missing, and what to state.

    ``columns``: by role, where their names are not usual. ``unit``: of numbers that are times. ``least_rating``: rows
    that are rated lower are no likes. ``say`` gets what was understood. ``later``: a file of the same form, whose likes
    all come after those of the first; only moments of its time are reported.
    """
    name = path.name.split(".")[0] or path.name
    likes = _likes(path, columns, unit, least_rating, say)
    if later is None:
        return numbered(name, likes)
    after = _likes(later, columns, unit, least_rating, say)
    last_us, later_us = int(likes["time_us"].to_numpy().max()), int(after["time_us"].to_numpy().min())
    if later_us <= last_us:
        first, last = pl.Series([later_us, last_us]).cast(pl.Datetime("us"))
        raise EvaluateError(
            f"--later {later} begins at {first:%Y-%m-%d %H:%M:%S}, before {path} ends, {last:%Y-%m-%d %H:%M:%S}: "
            "tuning would see what is reported. Cut the files at one moment"
        )
    both = pl.concat([likes, after], how="vertical_relaxed")
    return replace(numbered(name, both), later_us=later_us)


def _likes(
    path: Path,
    columns: Mapping[str, str] | None,
    unit: str | None,
    least_rating: float | None,
    say: Say,
) -> pl.DataFrame:
    """Return the likes of one file: user, item, time_us."""
    try:
        rows = _rows(path, dict(columns or {}), say)
    except (OSError, EOFError, zstandard.ZstdError, pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
        raise EvaluateError(f"can't read {path}: {reason}") from error
    found = find_columns(rows.columns, columns or {}, str(path))
    say(f"{path.name}: {', '.join(f'{role} is {name!r}' for role, name in found.items())}")
    likes = rows.select(found.values()).rename({name: role for role, name in found.items()})
    if plain(found["item"]) == "impressions" or _are_impressions(likes["item"]):
        likes = _clicks(likes, path, say)
    likes = _rated(likes, found.get("rating"), least_rating, say)
    times_us, meaning = times_in_us(likes["time"], found["time"], unit)
    likes = pl.DataFrame([_ids(likes["user"]), _ids(likes["item"]), times_us.alias("time_us")])
    kept = likes.drop_nulls()
    if len(kept) < len(likes):
        say(f"{len(likes) - len(kept):,} rows without a user, an item or a usable time are left out")
    if kept.is_empty():
        raise EvaluateError(f"{path} has no rows with a user, an item and a time")
    first, last = (
        pl.Series([kept["time_us"].min(), kept["time_us"].max()]).cast(pl.Datetime("us"))
    ).to_list()
    say(f"times are {meaning}: from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}")
    return kept.cast({"time_us": pl.Int64})


def _rows(path: Path, stated: dict[str, str], say: Say) -> pl.DataFrame:
    """Return a file's table, whatever its format."""
    if not path.exists():
        raise EvaluateError(f"no file {path}" + _near(path))
    if path.is_dir():
        raise EvaluateError(f"{path} is a folder: name a file in it")
    data: Path | bytes = path
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[:2] == b"\x1f\x8b":
        data = gzip.decompress(path.read_bytes())
    elif head[:4] == b"\x28\xb5\x2f\xfd":
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
            data = reader.read()
    elif head[:2] == b"PK":
        raise EvaluateError(f"{path} is a zip archive: unpack it, and name the file of likes in it")
    if isinstance(data, bytes):
        head = data[:HEAD]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise EvaluateError(f"{path} is empty")
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    if head[:4] == b"PAR1":
        say("format: Parquet")
        return pl.read_parquet(source)
    if text[:1] == b"{":
        say("format: JSON lines")
        return pl.read_ndjson(source, infer_schema_length=MANY)
    if text[:1] == b"[":
        say("format: JSON")
        return pl.read_json(source, infer_schema_length=MANY)
    return _lines(path, data, text, stated, say)


def _lines(path: Path, data: Path | bytes, head: bytes, stated: dict[str, str], say: Say) -> pl.DataFrame:
    """Return the table of a file of lines with separators, with a header or without."""
    first = head.splitlines()[0].decode("utf-8")
    separator = next((mark for mark in SEPARATORS if mark in first), None)
    if separator is None:
        raise EvaluateError(
            f"{path} is neither Parquet nor JSON lines, and its first line has no separator: {first[:80]!r}"
        )
    cells = [cell.strip().strip('"') for cell in first.split(separator)]
    header = is_header(cells) or any(name in cells for name in stated.values())
    if not header:
        names = _names_by_place(path, cells, stated)
    say(f"format: text with {SEPARATORS[separator]} between columns, {'a' if header else 'no'} header")
    if separator == "::":
        data = (data if isinstance(data, bytes) else path.read_bytes()).replace(b"::", b"\t")
        separator = "\t"

    def read(infer: int | None) -> pl.DataFrame:
        return pl.read_csv(
            io.BytesIO(data) if isinstance(data, bytes) else data,
            separator=separator,
            has_header=header,
            new_columns=None if header else names,
            quote_char=None if separator == "\t" else '"',
            infer_schema=infer is not None,
            infer_schema_length=infer,
        )

    try:
        return read(MANY)
    except pl.exceptions.ComputeError:  # ids that look like numbers at first
        return read(None)


def _names_by_place(path: Path, cells: list[str], stated: dict[str, str]) -> list[str]:
    """Return the columns' names of a file without a header: of a form that is known, or their places from 1."""
    places = [str(place) for place in range(1, len(cells) + 1)]
    if stated:
        return places
    if len(cells) == len(MIND_LINE) and pl.Series(cells[-1].split()).str.contains(CLICK).all():
        return MIND_LINE
    if len(cells) == len(RATED_LINE) and all(cell.replace(".", "", 1).isdigit() for cell in cells):
        return RATED_LINE
    raise EvaluateError(
        f"{path} has no header with usual names; its first line is {listed(cells)}. State the columns by name, or by "
        "place if that line is data: --columns user=1,item=2,time=3"
    )


def _are_impressions(items: pl.Series) -> bool:
    """Tell whether a column lists what was shown and what was clicked, as MIND does: 'N55689-1 N35729-0'."""
    if items.dtype != pl.String:
        return False
    some = items.drop_nulls().head(100).str.split(" ").explode()
    return len(some) > 0 and bool(some.str.contains(CLICK).all()) and bool(some.str.ends_with("-0").any())


def _clicks(likes: pl.DataFrame, path: Path, say: Say) -> pl.DataFrame:
    shown = likes.with_columns(pl.col("item").cast(pl.String).str.strip_chars().str.split(" ")).explode(
        "item"
    )
    clicked = shown.filter(pl.col("item").str.ends_with("-1")).with_columns(pl.col("item").str.head(-2))
    if clicked.is_empty():
        raise EvaluateError(
            f"{path} lists impressions without clicks: none ends in -1, such as 'N55689-1'. A test set hides them"
        )
    say(
        f"impressions: {len(clicked):,} of {len(shown):,} were clicked and count as likes, at the time of their page; "
        "clicks of a 'history' column have no time and do not count"
    )
    return clicked


def _rated(likes: pl.DataFrame, name: str | None, least: float | None, say: Say) -> pl.DataFrame:
    """Return the rows that are likes; what is rated 0 or less is none."""
    if name is None:
        if least is not None:
            raise EvaluateError(
                "--min-rating: the file has no column of ratings; say which it is: --columns rating=NAME"
            )
        return likes
    ratings = likes["rating"].cast(pl.Float64, strict=False)
    if likes.is_empty() or ratings.count() < likes["rating"].count():
        if least is None:
            say(f"column {name!r} holds no numbers and is not used")
            return likes
        raise EvaluateError(f"--min-rating: column {name!r} holds values that are no numbers")
    kept = likes.filter(ratings > 0 if least is None else ratings >= least)
    low, high = ratings.drop_nulls().sort()[[0, -1]]
    rule = "above 0" if least is None else f"of {least:g} or more"
    say(
        f"ratings from {float(low):g} to {float(high):g}: {len(kept):,} of {len(likes):,} are {rule} and count as likes"
        + ("; --min-rating N counts fewer" if least is None else "")
    )
    if kept.is_empty():
        raise EvaluateError(f"no row has a rating {rule}")
    return kept


def _ids(keys: pl.Series) -> pl.Series:
    """Return keys as whole numbers where all are, else as text; null where there is none."""
    if keys.dtype.is_integer() and keys.dtype != pl.UInt64:
        return keys.cast(pl.Int64)
    if keys.dtype.is_float() and bool((keys.drop_nulls() == keys.drop_nulls().round()).all()):
        return keys.cast(pl.Int64)
    if keys.dtype.is_nested():
        raise EvaluateError(f"the column of each {keys.name} holds {keys.dtype}: expected a number or a text")
    texts = keys.cast(pl.String)
    return texts.set(texts.str.strip_chars() == "", None)


def _near(path: Path) -> str:
    """Return which file of the folder may be meant."""
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    same = sorted(other.name for other in path.parent.iterdir() if other.stem == path.stem)
    return f" (did you mean {same[0]}?)" if same else ""
