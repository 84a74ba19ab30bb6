"""A connection to each labeler: found by its DID, followed and resumed as the main stream is.

Owns: joining followers and the label writer. Leaves to others: the connection itself (``follow``), the labeler's
document (whoever implements ``LabelerDirectory``), what comes of messages (``label_writer``).

A labeler that can't be found or does not answer is tried again, after longer and longer pauses. It holds up nothing
else: labels that are stored count on.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pipeline.backoff import pause_seconds
from pipeline.ingest.follow import Follower
from pipeline.ingest.labels.label_frames import WIRE, subscribe_url
from pipeline.ingest.labels.label_writer import LabelerDirectory, LabelWriter
from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.wires import Subscription
from pipeline.store.labels import LabelStore

log = logging.getLogger("foryou.ingest")

SEARCH_MAX_SECONDS = 300.0
_SCHEME = "labels://"  # an address for the follower, which names the labeler in logs


class LabelStreams:
    """The streams of some labelers into one store, from ``start`` to ``stop``."""

    def __init__(
        self,
        store: LabelStore,
        dids: Sequence[str],
        levels: Mapping[str, int],
        directory: LabelerDirectory,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
        silence_seconds: float,
    ) -> None:
        self._writer = LabelWriter(store, directory, levels, metrics, on_failure)
        self._on_failure = on_failure
        self._followers = [self._follower(did, silence_seconds) for did in dids]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow; runs in the event loop."""
        self._writer.start()
        for follower in self._followers:
            task = asyncio.create_task(follower.run())
            task.add_done_callback(self._note_end)
            self._tasks.append(task)

    async def stop(self) -> None:
        """End the connections, and store what they brought."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(None, self._writer.stop)

    def _note_end(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(error)

    def _follower(self, did: str, silence_seconds: float) -> Follower:
        writer = self._writer
        return Follower(
            (_SCHEME + did,),
            partial(writer.settled, did),
            partial(self._resume, did),
            writer.offer,
            _nothing,
            writer.count,
            silence_seconds,
            f"stream of labeler {did}",
        )

    async def _resume(self, did: str, url: str) -> Subscription:
        """Return how to go on with a labeler's stream, once its document says where."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            found = await loop.run_in_executor(None, self._writer.find, did)
            if found.url:
                address = subscribe_url(found.url, self._writer.cursor(did))
                return Subscription(url, address, did, WIRE, _decoded_by_the_writer, None, 0, 0)
            pause = pause_seconds(failures, 1.0, SEARCH_MAX_SECONDS)
            failures += 1
            self._writer.count("labeler_not_found")
            log.warning("labeler %s: %s; looking again in %.0f s", did, found.reason, pause)
            await asyncio.sleep(pause)


def _nothing() -> None:
    """Do nothing: a labeler that does not know the cursor says so in a message."""


def _decoded_by_the_writer(*_: object) -> None:
    raise AssertionError("labels are decoded by their own writer")
