"""The name of this machine among those that share a folder.

Owns: that name. Leaves to others: what bears it.
"""

import os
import socket
import zlib
from pathlib import Path


def machine_name(data_dir: Path) -> str:
    """Return a name that no other installation has which shares the folder: of the host and the data directory."""
    mark = zlib.crc32(os.fsencode(data_dir.absolute()))
    return f"{socket.gethostname()}-{mark:08x}"
