"""The work inside: give up all rights, open a session, run, write the rows to standard output.

Owns: the order of these steps. Leaves to others: each of them. It is started by ``outside`` with two open files: the
request to read, the complaint to write.

Invariant: no library but Python's own is loaded, and no word of the query is run, before the rights are given up. The
small tables are read just before, for the stores can't be opened after.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.explore import stored_tables
from pipeline.explore.box import limits
from pipeline.explore.box.request import BoxRequest, from_json
from pipeline.explore.queries import parse

COMPLAINT_BYTES = 32_768  # fits a pipe that nobody reads yet


def main() -> int:
    """Do what the request says; return the exit status."""
    with os.fdopen(int(sys.argv[1]), "rb") as source:
        request = from_json(source.read())
    complaint, data_dir = int(sys.argv[2]), Path(request.data_dir)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # outside, a shell's parent ignores it
    try:
        _stop_with_parent(request.parent)
        wanted = list(stored_tables.SMALL) if request.text is None else stored_tables.named_in(request.text)
        stores = stored_tables.read(data_dir, wanted)
        data_dir = _plain(data_dir, Path(request.spill))
        limits.enter(data_dir, [Path(path) for path in request.named], Path(request.spill))
        _run(request, data_dir, stores)
    except PipelineError as error:
        text = str(error).replace(str(data_dir), request.data_dir)
        os.write(complaint, text.encode()[:COMPLAINT_BYTES])
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _plain(data_dir: Path, spill: Path) -> Path:
    """Return the data directory by a name without '[', '*' and '?'.

    To find what such a pattern means, DuckDB would have to list the folder above.
    """
    if not set("[*?") & set(str(data_dir)):
        return data_dir
    link = spill / "data"
    link.symlink_to(data_dir)
    return link


def _run(request: BoxRequest, data_dir: Path, stores: Mapping[str, stored_tables.Columns]) -> None:
    from pipeline.explore import formats, session
    from pipeline.explore.box import shell
    from pipeline.explore.box.stop import stoppable

    named = [Path(path) for path in request.named]
    with session.open_session(
        data_dir, request.threads, spill=Path(request.spill), named=named
    ) as connection:
        session.put_stores(connection, data_dir, stores)
        if request.text is None:
            shell.run(connection, data_dir, request.form, request.max_rows)
            return
        query = parse(request.name, request.text)
        with stoppable(connection):
            found = session.results(connection, query, request.values, request.max_rows)
            formats.write(found, request.form, sys.stdout.buffer, query.name)
        sys.stdout.buffer.flush()


def _stop_with_parent(parent: int) -> None:
    """Be ended when the process outside is (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it has ended already
            sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
