"""Tasks on a cluster of Ray: the machines of one address, or processes of this machine.

Owns: handing out tasks, and beginning again where the cluster was lost. Leaves to others: joining or starting the
cluster and trying single tasks again (``ray_driver``), what a task is (``batch.engine``).

A process of its own is in the cluster, because Ray ends that process when the cluster's head has died. Then another one
joins the cluster, or starts one, at most ``RESTARTS`` times a run. Tasks without an answer are handed out again; of
those, the ones whose parts exist return at once.
"""

import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.batch.engine import EngineLostError
from pipeline.errors import SettingError

log = logging.getLogger("foryou.batch")

RESTARTS = 3
RESTART_SECONDS = 10.0  # before the first time; somebody has to start the head of a cluster that is not ours
CLOSE_SECONDS = 30.0


@contextmanager
def open_ray(address: str, processes: int) -> Iterator["RayEngine"]:
    """Give the cluster at an address, or one of so many processes on this machine, while the block lasts."""
    engine = RayEngine(address, processes)
    try:
        yield engine
    finally:
        engine.close()


class RayEngine:
    """Does tasks on a cluster."""

    shares = True

    def __init__(self, address: str, processes: int) -> None:
        self._address, self._processes, self._lost = address, processes, 0
        self._driver = _Driver(address, processes)

    def map(self, stage: str, task: Callable[[int], Any], count: int) -> Iterator[Any]:
        """Do the tasks; yield what each returns, in the order in which they end."""
        pickled, waiting = pickle.dumps(task), set(range(count))
        while waiting:
            try:
                for number, answer in self._driver.answers(stage, pickled, sorted(waiting)):
                    waiting.remove(number)
                    yield answer
            except EngineLostError as error:
                self._begin_again(stage, error)

    def exchange(self, stage: str, task: Callable[[int], int], count: int) -> int:
        """Do the tasks; return the sum of what they return."""
        return sum(self.map(stage, task, count))

    def close(self) -> None:
        """Leave the cluster, or end it."""
        self._driver.close()

    def _begin_again(self, stage: str, error: EngineLostError) -> None:
        self._driver.close()
        while self._lost < RESTARTS:
            self._lost += 1
            log.warning("%s: %s: beginning again, %d of %d", stage, error, self._lost, RESTARTS)
            if self._address:
                time.sleep(RESTART_SECONDS * self._lost)
            try:
                self._driver = _Driver(self._address, self._processes)
            except EngineLostError as again:
                error = again
            else:
                return
        raise error


class _Driver:
    """The process that is in the cluster, from its start to its end."""

    def __init__(self, address: str, processes: int) -> None:
        arguments = [address, str(processes)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.batch.engines.ray_driver", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C stops this process, which stops that one
        )
        try:
            self._start(address)
        except BaseException:
            self.close()
            raise

    def _start(self, address: str) -> None:
        kind, *said = self._receive()
        if kind == "missing":
            raise SettingError("FORYOU_ENGINE = 'ray' needs Ray: pip install 'foryou[ray]'")
        if kind == "unreachable":
            raise EngineLostError(f"can't reach the engine {address or 'of this machine'}: {said[0]}")
        slots, dashboard = said
        where = f", dashboard at http://{dashboard}" if dashboard else ""
        log.info("engine: Ray with %d processors%s", slots, where)

    def answers(self, stage: str, task: bytes, numbers: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Let tasks be done; yield the number of each and its answer. Raises what a task raised."""
        try:
            pickle.dump((stage, task, list(numbers)), self._pipes[0])
            self._pipes[0].flush()
        except OSError as error:
            raise EngineLostError("the engine was lost: its process ended") from error
        while True:
            kind, *said = self._receive()
            if kind == "done":
                return
            if kind == "failed":
                raise said[0]
            if kind == "lost":
                raise EngineLostError(f"the engine was lost: {said[0]}")
            yield said[0], said[1]

    def close(self) -> None:
        """End the process; it ends by itself when nobody writes to it any more."""
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _pipes(self) -> tuple[Any, Any]:
        return self._process.stdin, self._process.stdout

    def _receive(self) -> tuple[Any, ...]:
        try:
            message: tuple[Any, ...] = pickle.load(self._pipes[1])
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise EngineLostError("the engine was lost: its process ended") from error
        return message
