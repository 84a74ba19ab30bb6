"""Bringing files and names to the disk.

Owns: ``sync``. Leaves to others: what is written, and when it has to be there.
"""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
