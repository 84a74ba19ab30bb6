"""Chunks on their way from connections to the thread that stores them.

Owns: the bound of what waits, that thread from its start to its end, and what connections count meanwhile. Leaves to
others: what the thread does with a chunk (``writer``, ``labels.label_writer``).
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable

from pipeline.ingest.follow import Chunk


class ChunkQueue:
    """At most so many chunks, in the order given; ``work`` runs in the thread, takes them, and ends after None."""

    def __init__(self, chunks: int, work: Callable[[], None], name: str) -> None:
        self._queue: queue.Queue[Chunk | None] = queue.Queue(chunks)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counts_lock = threading.Lock()
        self._thread = threading.Thread(target=work, name=name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; when it does not, the store broke and the process is about to end."""
        return self._thread.is_alive()

    def put(self, chunk: Chunk) -> bool:
        """Take a chunk if there is room; False when there is none."""
        try:
            self._queue.put_nowait(chunk)
        except queue.Full:
            return False
        return True

    def get(self, seconds: float) -> Chunk | None:
        """Wait so long for a chunk; None once the last was given. Raises queue.Empty."""
        return self._queue.get(timeout=seconds)

    def waiting(self) -> int:
        """Return about how many chunks wait."""
        return self._queue.qsize()

    def count(self, kind: str, name: str) -> None:
        """Count something that happened to a connection."""
        with self._counts_lock:
            self._counts[kind, name] += 1

    def take_counts(self) -> Counter[tuple[str, str]]:
        """Return what was counted since the last call."""
        with self._counts_lock:
            counts, self._counts = self._counts, Counter()
        return counts

    def stop(self) -> None:
        """Give the thread what was taken, then None, and wait for its end."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()
