"""Second names of files, under which they stay as they are, and the files of a folder that stand for one.

Owns: ``hard_link``, ``link``, ``kept`` and ``files_below``. Leaves to others: what is in the files; replacing them
(``whole_files``); the lake's days, of which several belong together (``lake.held``).

DuckDB opens a file when it plans a query and again when it runs it. Of a file that was replaced in between, it reads
places that the former one named. So a run gives second names to what runs beside it replace.
"""

import os
import shutil
from pathlib import Path

TRIES = 100


def files_below(path: Path) -> list[Path]:
    """Return the files of a folder, by name, or the one file that it is."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def hard_link(source: Path, target: Path) -> bool:
    """Give a file a second name; tell whether that can be, for it can't on another disk, or on one without links.

    Raises FileNotFoundError when the file is not there.
    """
    for _ in range(TRIES):
        try:
            os.link(source, target)
        except FileNotFoundError:
            source.stat()  # else what was found there had lost its name a moment later
        except OSError:
            return False
        else:
            return True
    raise FileNotFoundError(f"{source} is replaced without end")


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that can't be; FileNotFoundError when it is not there."""
    if not hard_link(source, target):
        shutil.copyfile(source, target)


def kept(path: Path, folder: Path) -> Path:
    """Give what a file is now a second name in a folder of one's own, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = folder / path.name
    name.unlink(missing_ok=True)
    link(path, name)
    return name
