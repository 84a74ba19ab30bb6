"""The process that is in a cluster of Ray for a run: ``python -m pipeline.batch.engines.ray_driver ADDRESS COUNT``.

Owns: joining or starting the cluster, handing single tasks to it, and trying them again. Leaves to others: what is
wanted, which comes through a pipe, and what happens when this process ends (``engines.ray``); scheduling, health
checks and the dashboard, which are Ray's.

Without an address the cluster is this machine's, on its loopback alone, and ends with this process. It has a dashboard
when somebody looks on at a terminal. Ray's own telemetry is off. A cluster with an address is the operator's, with
the operator's authentication (``RAY_AUTH_MODE``).

A task is retried when its worker or machine died, when it took longer than ``TASK_SECONDS``, and after an error of the
file system. Any other error of a task ends the run: it would be the same again.
"""

import logging
import os
import pickle
import select
import sys
import threading
import time
from contextlib import suppress
from typing import Any, BinaryIO

from pipeline.batch.engine import done

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Without it Ray writes a token file into the home directory.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

LOOPBACK = "127.0.0.1"
RETRIES = 5
TASK_SECONDS = 3600.0
WAIT_SECONDS = 1.0
ASK_SECONDS = 5.0
SILENT_SECONDS = 60.0
STORE_BYTES = 80 << 20  # Ray's least: tasks leave files, not objects


def main() -> None:
    """Join, do what is wanted, and end when nobody can ask any more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Ray prints is no answer
    requests = sys.stdin.buffer
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError:
        _send(answers, "missing")
        return
    try:
        context = _join(sys.argv[1], int(sys.argv[2]))
    except (RayError, ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        _send(answers, "unreachable", _line(error))
        return
    resources: Any = ray.cluster_resources  # has no types, where it is installed
    _send(answers, "ready", int(resources().get("CPU", 0)), context.dashboard_url)
    with suppress(EOFError, BrokenPipeError):
        while True:
            _do_all(requests, answers, *pickle.load(requests))
    ray.shutdown()


def _join(address: str, processes: int) -> Any:
    import ray

    if address:
        return ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    return ray.init(
        address="local",  # else Ray would join whatever cluster it finds
        num_cpus=processes,
        object_store_memory=STORE_BYTES,
        include_dashboard=sys.stderr.isatty(),  # it takes as much CPU as a small run, and ends with it
        dashboard_host=LOOPBACK,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=LOOPBACK,
    )


def _do_all(requests: BinaryIO, answers: BinaryIO, stage: str, task: bytes, numbers: list[int]) -> None:
    """Let the cluster do tasks, and send each one's answer when it comes."""
    import duckdb
    import ray
    from ray.exceptions import RayError, RayTaskError

    remote = ray.remote(_do).options(
        name=stage,
        num_cpus=1,
        max_retries=RETRIES,
        retry_exceptions=[OSError, duckdb.IOException],
        scheduling_strategy="SPREAD",
    )
    head = _Head()
    try:
        shared = ray.put(task)
        pending = {remote.remote(shared, number, TASK_SECONDS): number for number in numbers}
        while pending:
            if select.select([requests], [], [], 0)[0]:
                raise EOFError  # no request comes meanwhile: whoever made this one has ended
            if time.monotonic() - head.answered_at > SILENT_SECONDS:
                _send(answers, "lost", f"its head said nothing for {SILENT_SECONDS:.0f} s")
                os._exit(1)  # Ray's own shutdown would wait for the head
            for done in ray.wait(list(pending), timeout=WAIT_SECONDS)[0]:
                _send(answers, "answer", pending.pop(done), ray.get(done))
        _send(answers, "done")
    except RayTaskError as error:
        _send(answers, "failed", _cause(error))
    except RayError as error:
        _send(answers, "lost", _line(error))
    finally:
        head.leave()


class _Head:
    """Asks the cluster's head again and again whether this machine is in its cluster.

    Where another cluster was started at the address of one that died, Ray itself would wait without end.
    """

    def __init__(self) -> None:
        self.answered_at = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    def leave(self) -> None:
        """Ask no more."""
        self._over.set()

    def _ask(self) -> None:
        import ray

        own = ray.get_runtime_context().get_node_id()
        nodes: Any = ray.nodes  # has no types
        while not self._over.wait(ASK_SECONDS):
            with suppress(Exception):  # the next time may do
                if any(node["NodeID"] == own and node["Alive"] for node in nodes()):
                    self.answered_at = time.monotonic()


def _do(task: bytes, number: int, seconds: float) -> Any:
    """Do a task; end the worker when that takes too long, so that Ray tries again elsewhere."""
    deadline = threading.Timer(seconds, os._exit, (1,))
    deadline.daemon = True
    deadline.start()
    try:
        return done(pickle.loads(task), number)
    finally:
        deadline.cancel()


def _cause(error: Any) -> Exception:
    """Return what a task raised, with where it did so."""
    cause = error.cause if isinstance(error.cause, Exception) else RuntimeError(_line(error))
    cause.add_note(str(error))
    try:
        pickle.dumps(cause)
    except Exception:  # whatever a library's error may hold
        return RuntimeError(str(error))
    return cause


def _send(answers: BinaryIO, *message: Any) -> None:
    answers.write(pickle.dumps(message))
    answers.flush()


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    main()
