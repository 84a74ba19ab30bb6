"""The engine that needs nothing: this process does one task after another.

Owns: ``LOCAL``. Leaves to others: threads, of which a task may have several (``kernel``).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pipeline.batch.engine import done


class LocalEngine:
    """Does tasks in order, in memory that they share."""

    shares = False

    def map(self, stage: str, task: Callable[[int], Any], count: int) -> Iterator[Any]:
        """Do the tasks, each when its answer is taken."""
        return map(partial(done, task), range(count))

    def exchange(self, stage: str, task: Callable[[int], int], count: int) -> int:
        """Move nothing: each task finds what others made where it is."""
        return 0


LOCAL = LocalEngine()
