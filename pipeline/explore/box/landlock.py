"""Landlock: a process of Linux gives up its rights to files and to the network, for good.

Owns: the three system calls. Leaves to others: which paths remain (``limits``). It needs no privileges. Kernels have it
since 5.13, but a distribution may leave it out; ``version`` then is 0, and ``restrict`` does nothing.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every architecture but alpha
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_READ = _READ_FILE | _READ_DIR
_WRITE = (
    1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8
)  # write, remove a folder or a file, make a folder or a file
_TRUNCATE = 1 << 14
_FILE_RIGHTS = _READ_FILE | 1 << 1 | _TRUNCATE  # what a rule for a file, rather than a folder, may name
# Rights to files that each version knows: later ones knew more.
_FILES_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK = 1 << 0 | 1 << 1  # TCP: bind, connect
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets and signals to processes outside


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock that the kernel offers, 0 when it offers none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_library().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))))


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Leave this thread, and all it starts from now on, only these files and folders; tell whether the kernel can.

    What is open stays open. A path that does not exist is left out. Raises OSError when the kernel refuses.
    """
    known = version()
    if not known:
        return False
    library = _library()
    files = (1 << _FILES_BY_VERSION[min(known, 5)]) - 1
    rules = _Ruleset(files, _NETWORK if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = _checked(
        library.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    )
    try:
        for paths, rights in ((readable, _READ), (writable, _READ | _WRITE | _TRUNCATE)):
            for path in paths:
                _allow(library, ruleset, path, rights & files)
        _checked(library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(library.syscall(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)
    return True


def _allow(library: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(rights if path.is_dir() else rights & _FILE_RIGHTS, parent)
        add = (ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
        _checked(library.syscall(_ADD_RULE, *add))
    finally:
        os.close(parent)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
