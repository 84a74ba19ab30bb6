"""The lake's files as they were at one moment, for as long as a run reads them.

Owns: finding the files of every day that belong together, and holding them by hard links, so that a merge meanwhile
changes nothing for the reader. Leaves to others: what is in the files (``reader``), making them (``merge``), and the
links of runs that were killed (``sql.temporary_folders``).

Invariant: of a day, the likes and the changes that are held were both there at one moment.
"""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.store.linked_files import hard_link
from pipeline.store.model import NAMED_DAY
from sql import places
from sql.temporary_folders import TemporaryFolder

TRIES = 100


@dataclass(frozen=True, slots=True)
class DayFiles:
    """A closed day: its likes and its changes, as far as it has them, and the last commit whose words they hold.

    The day of keys that name no day has changes alone.
    """

    likes: Path | None
    changes: Path | None
    commit_no: int


@contextmanager
def held_lake(data_dir: Path) -> Iterator[dict[int, DayFiles]]:
    """Hold the files of every closed day while the block lasts; give them by day, in days since 1970.

    Enter it after the read transaction of landing.sqlite began: what that no longer has is then in these files.
    """
    days = sorted(places.closed_days(data_dir) | places.changes(data_dir).keys() & {NAMED_DAY})
    if not days:
        yield {}
        return
    root = places.held(data_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = TemporaryFolder("", root)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        # Who may not write here, as the web app, reads the files themselves: a merge meanwhile ends the reading.
        found = {day: _hold(data_dir, day, None) for day in days}
        yield {day: files for day, files in found.items() if files is not None}
        return
    with folder as links:
        held = {day: _hold(data_dir, day, links) for day in days}
        yield {day: files for day, files in held.items() if files is not None}


def _hold(data_dir: Path, day: int, folder: Path | None) -> DayFiles | None:
    # A merge writes the likes first and the changes last, so a pair with equal changes before and after fits together.
    for _ in range(TRIES):
        changes = places.changes_of(data_dir, day)
        own = None
        if folder is not None:
            own = Path(tempfile.mkdtemp(dir=folder)) / places.likes(data_dir, day).parent.name
            own.mkdir()
        try:
            held_changes = None if changes is None else _link(changes.path, own)
            likes = None if day == NAMED_DAY else _link(places.likes(data_dir, day), own)
        except FileNotFoundError:
            if day != NAMED_DAY and not places.likes(data_dir, day).exists():
                return None  # too old, and removed just now
            continue
        if places.changes_of(data_dir, day) == changes:
            return DayFiles(likes, held_changes, 0 if changes is None else changes.commit_no)
    raise FileNotFoundError(f"the files of {places.day_name(day)} change without end")


def _link(source: Path, folder: Path | None) -> Path:
    if folder is None:
        source.stat()  # FileNotFoundError when it is not there any more
        return source
    target = folder / source.name
    # On a file system without links a merge meanwhile ends the run, and the next one sees its result.
    return target if hard_link(source, target) else source
