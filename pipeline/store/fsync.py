"""Making files and names survive a power cut.

Owns: ``sync``. Leaves to others: what is written, and when it must be on the disk.
"""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
