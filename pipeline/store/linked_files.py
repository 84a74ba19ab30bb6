"""Second names of files, and the files of a folder that stand for one.

Owns: ``link`` and ``files_below``. Leaves to others: what is in the files (``batch.inputs.neighbour_files``,
``batch.lists.list_parts``).
"""

import os
import shutil
from pathlib import Path


def files_below(path: Path) -> list[Path]:
    """Return the files of a folder, by name, or the one file that it is."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that can't be; FileNotFoundError when it is not there."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
