"""A run's snapshot: taken now, or, for a run on several machines that was cut short, the one that it had.

Owns: which of the two. Leaves to others: taking it (``snapshot``), its form in files (``frozen``), what tasks have made
of it, which is found by its name.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipeline.batch.engine import EngineLostError
from pipeline.batch.inputs.frozen import MANIFEST, Frozen, freeze, opened_again, read_frozen
from pipeline.batch.inputs.snapshot import Snapshot, open_snapshot
from pipeline.ranking import Ranking

log = logging.getLogger("foryou.batch")

# A run that was cut short is taken up again for so long; later, newer likes are worth more than its parts.
AGAIN_SECONDS = 3 * 3600.0


@contextmanager
def open_run(
    data_dir: Path,
    ranking: Ranking,
    threads: int,
    *,
    window_hours: float,
    folder: Path,
    shared: Path | None,
    dids: Sequence[str] | None = None,
    with_posts: bool = True,
) -> Iterator[tuple[Snapshot, Frozen | None]]:
    """Give a snapshot and, with ``shared``, the same in that folder, for tasks in other processes.

    ``dids`` and ``with_posts`` are as in ``open_snapshot``. The folder stays when this process ends within the block or
    the engine is lost: the next run goes on from it.
    """
    take = partial(
        open_snapshot,
        data_dir,
        ranking,
        threads,
        window_hours=window_hours,
        folder=folder,
        dids=dids,
        with_posts=with_posts,
    )
    if shared is None:
        with take() as snapshot:
            yield snapshot, None
        return
    former = _former(shared, ranking, window_hours)
    try:
        if former is None:
            with take() as snapshot:
                yield snapshot, freeze(snapshot, ranking, window_hours, shared)
        else:
            log.info("going on with the run of %s that was cut short", shared.name)
            with opened_again(former, folder, threads) as snapshot:
                yield snapshot, former
    except EngineLostError:
        raise
    except Exception:
        shutil.rmtree(shared, ignore_errors=True)  # it would end so again
        raise
    shutil.rmtree(shared, ignore_errors=True)


def _former(shared: Path, ranking: Ranking, window_hours: float) -> Frozen | None:
    frozen = read_frozen(shared)
    if frozen is None or not frozen.is_for(ranking) or frozen.window_hours != window_hours:
        return None
    return frozen if time.time() - (shared / MANIFEST).stat().st_mtime < AGAIN_SECONDS else None
