"""What does the work of a run: one process, or tasks on several machines.

Owns: what a job may ask of an engine, and doing a task. Leaves to others: the engines (``engines``), the work, which is
pure functions (``neighbours.walk_range``, ``neighbours.product_block``, ``lists.list_block``), and what tasks share:
files in a folder that all machines see (``inputs.part_files``).

A task is a number's worth of a stage: a range of authors, or a block of viewers. It may run twice and on any machine.
Its part is the same each time and has one name, so it exists once. A task returns a count, never what it made.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pyarrow as pa

from pipeline.errors import BatchError
from pipeline.progress import Progress


class EngineLostError(BatchError):
    """The engine went away; the parts that exist stay, and the next run goes on from them."""


def done(task: Callable[[int], Any], number: int) -> Any:
    """Do a task and return what it returns.

    Arrow keeps the memory that it freed, and the next task would need its own beside that: it is given back.
    """
    try:
        return task(number)
    finally:
        pa.default_memory_pool().release_unused()


def following(answers: Iterable[Any], progress: Progress, total: int, tasks: int) -> Iterator[Any]:
    """Yield the answers of tasks, and count ``total`` units, as many for each."""
    for number, answer in enumerate(answers, 1):
        yield answer
        progress.add(total * number // tasks - total * (number - 1) // tasks)


class Engine(Protocol):
    """What does the tasks of a stage."""

    @property
    def shares(self) -> bool:
        """Whether tasks run in other processes, which see nothing but files."""

    def map(self, stage: str, task: Callable[[int], Any], count: int) -> Iterator[Any]:
        """Do task(0) .. task(count - 1) and yield what they return: in order in one process, else as they come."""

    def exchange(self, stage: str, task: Callable[[int], int], count: int) -> int:
        """Let task(0) .. task(count - 1) bring what each made to where it is needed; return the sum of their counts."""
