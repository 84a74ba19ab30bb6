"""Secrets of this installation, each in a file that only its owner may read.

Owns: making one when it is needed first, by several workers at once, and what happens on a disk that can't be written.
Leaves to others: what the secret is for (``feed.page_cursors``, ``sign_in.proofs``).
"""

import contextlib
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)


def kept(path: Path, make: Callable[[], bytes], is_whole: Callable[[bytes], bool]) -> bytes:
    """Return the secret in a file, which the first call makes; of several workers' the first one counts.

    What is there and not whole is replaced. When the file can't be written, the secret is this process's own.
    """
    found = _read(path)
    if found is not None and is_whole(found):
        return found
    made = make()
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        if found is not None:
            os.replace(draft, path)
            return made
        try:
            os.link(
                draft, path
            )  # unlike a rename this fails when another process was first; its secret counts
        except FileExistsError:
            return path.read_bytes()
    except OSError as error:
        log.warning("%s can't be written (%s): what it is for ends with this process", path, error)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return made


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
