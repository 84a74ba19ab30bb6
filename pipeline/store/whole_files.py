"""Files that are there whole or not at all: written beside their place, then given their name.

Owns: ``whole``, the draft's name and what becomes of it. Leaves to others: what is written; the lake's days, whose
drafts wait for one another (``lake.day_files``); parts that several workers make (``batch.inputs.part_files``).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.store.fsync import sync


@contextmanager
def whole(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Give the place of a draft, which takes the file's name at the end; when something fails it is removed.

    The draft is named for this process, so two processes may make a file at once: the later one's counts. Without
    ``synced``, a power cut may leave a file of nothing: for what can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        if synced:
            sync(draft)
        os.replace(draft, path)
        if synced:
            sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)
