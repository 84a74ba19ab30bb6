"""Tasks on a cluster of Ray: the machines of one address, or processes of this machine.

Owns: joining or starting the cluster, handing out tasks, trying again, and giving up. Leaves to others: what a task is
(``batch.engine``), and scheduling, health checks and the dashboard, which are Ray's.

Without an address the cluster is this machine's, on its loopback alone, and ends with the run. Ray's own telemetry is
off. A cluster with an address is the operator's, with the operator's authentication (``RAY_AUTH_MODE``).

A task is retried when its worker or machine died, when it took longer than ``TASK_SECONDS``, and after an error of the
file system. Any other error of a task ends the run: it would be the same again.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from pipeline.batch.engine import EngineLostError
from pipeline.errors import SettingError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault(
    "RAY_AUTH_MODE", "disabled"
)  # without it Ray writes a token file into the home directory

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise SettingError("FORYOU_ENGINE = 'ray' needs Ray: pip install 'foryou[ray]'") from error

log = logging.getLogger("foryou.batch")

LOOPBACK = "127.0.0.1"
RETRIES = 5
TASK_SECONDS = 3600.0
WAIT_SECONDS = 1.0
STORE_BYTES = 80 << 20  # Ray's least: tasks leave files, not objects


@contextmanager
def open_ray(address: str, processes: int) -> Iterator["RayEngine"]:
    """Give the cluster at an address, or one of so many processes on this machine, while the block lasts."""
    try:
        if address:
            context = ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            context = ray.init(
                address="local",  # else Ray would join whatever cluster it finds
                num_cpus=processes,
                object_store_memory=STORE_BYTES,
                include_dashboard=True,
                dashboard_host=LOOPBACK,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address=LOOPBACK,
            )
    except (RayError, ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise EngineLostError(
            f"can't reach the engine {address or 'of this machine'}: {_line(error)}"
        ) from error
    try:
        dashboard = context.dashboard_url
        resources: Any = ray.cluster_resources  # has no types, where it is installed
        slots = int(resources().get("CPU", 0))
        log.info(
            "engine: Ray with %d processors%s",
            slots,
            f", dashboard at http://{dashboard}" if dashboard else "",
        )
        yield RayEngine()
    finally:
        ray.shutdown()


class RayEngine:
    """Does tasks on a cluster."""

    shares = True

    def map(self, stage: str, task: Callable[[int], Any], count: int) -> Iterator[Any]:
        """Do the tasks; yield what each returns, in the order in which they end."""
        remote = ray.remote(_do).options(
            name=stage,
            num_cpus=1,
            max_retries=RETRIES,
            retry_exceptions=[OSError, duckdb.IOException],
            scheduling_strategy="SPREAD",
        )
        try:
            shared = ray.put(task)
            pending = [remote.remote(shared, number, TASK_SECONDS) for number in range(count)]
            while pending:
                done, pending = ray.wait(pending, timeout=WAIT_SECONDS)
                for answer in done:
                    yield ray.get(answer)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause from error
        except RayError as error:
            raise EngineLostError(f"{stage}: the engine was lost: {_line(error)}") from error

    def exchange(self, stage: str, task: Callable[[int], int], count: int) -> int:
        """Do the tasks; return the sum of what they return."""
        return sum(self.map(stage, task, count))


def _do(task: Callable[[int], Any], number: int, seconds: float) -> Any:
    """Do a task; end the worker when that takes too long, so that Ray tries again elsewhere."""
    deadline = threading.Timer(seconds, os._exit, (1,))
    deadline.daemon = True
    deadline.start()
    try:
        return task(number)
    finally:
        deadline.cancel()


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
