"""The lake's layout: a closed day's likes, and the unlikes of that day that concern earlier ones.

    lake/likes/day=YYYY-MM-DD/likes.parquet
    lake/unlikes/day=YYYY-MM-DD/unlikes.parquet

Owns: where a day's file is and which days have one. A day is in the lake exactly when its likes' file exists:
``lake.compact`` puts it there with one rename, and the day's unlikes before. Leaves to others: what is in the
files (``lake.compact``).
"""

from pathlib import Path

from pipeline.store.model import day_name, day_number

PREFIX = "day="
FILE_NAME = "likes.parquet"
UNLIKES_NAME = "unlikes.parquet"


def day_file(data_dir: Path, day: int) -> Path:
    """Return where the likes of a day are, in days since 1970, once it is closed."""
    return data_dir / "lake" / "likes" / f"{PREFIX}{day_name(day)}" / FILE_NAME


def unlikes_file(data_dir: Path, day: int) -> Path:
    """Return where a closed day's tombstones are: (liker_id, rkey, seen_us)."""
    return data_dir / "lake" / "unlikes" / f"{PREFIX}{day_name(day)}" / UNLIKES_NAME


def unlikes_files(data_dir: Path) -> list[Path]:
    """Return every file of tombstones, the oldest day first."""
    return sorted((data_dir / "lake" / "unlikes").glob(f"{PREFIX}*/{UNLIKES_NAME}"))


def day_of_file(file: Path) -> int:
    """Return the day that a file of the lake is of, in days since 1970."""
    return day_number(file.parent.name.removeprefix(PREFIX))


def closed_days(data_dir: Path) -> set[int]:
    """Return the days that are in the lake; a folder of another name is nobody's day."""
    days = set()
    for file in (data_dir / "lake" / "likes").glob(f"{PREFIX}*/{FILE_NAME}"):
        try:
            days.add(day_number(file.parent.name.removeprefix(PREFIX)))
        except ValueError:
            continue
    return days
