"""The lake's layout: lake/likes/day=YYYY-MM-DD/likes.parquet, one file a closed day.

Owns: where a day's file is and which days have one. A day is in the lake exactly when its file exists:
``batch.compact`` puts it there with one rename. Leaves to others: what is in the file (``batch.compact``).
"""

from pathlib import Path

from pipeline.store.model import day_name, day_number

PREFIX = "day="
FILE_NAME = "likes.parquet"


def day_file(data_dir: Path, day: int) -> Path:
    """Return where the likes of a day are, in days since 1970, once it is closed."""
    return data_dir / "lake" / "likes" / f"{PREFIX}{day_name(day)}" / FILE_NAME


def closed_days(data_dir: Path) -> set[int]:
    """Return the days that are in the lake; a folder of another name is nobody's day."""
    days = set()
    for file in (data_dir / "lake" / "likes").glob(f"{PREFIX}*/{FILE_NAME}"):
        try:
            days.add(day_number(file.parent.name.removeprefix(PREFIX)))
        except ValueError:
            continue
    return days
