"""The soak's live stream as a process of its own, and what of it came into the store.

Owns: ``Stream``, and counting in landing.sqlite. Leaves to others: the events (``soak_feed``).
"""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.identifiers import tid_at
from pipeline.store.model import day_of


class Stream:
    """The live stream's process; ``tell`` puts events into it."""

    def __init__(self, data_dir: Path, rate: float) -> None:
        here = str(Path(__file__).with_name("soak_feed.py"))
        self.process = subprocess.Popen(
            [sys.executable, here, str(data_dir), str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.told: dict[str, Any] = {"sent": {}, "behind": 0.0}
        self._answers: dict[int, int] = {}
        self._arrived, self._number = threading.Condition(), 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, steps: list[list[Any]]) -> int:
        """Put events into the stream; return the time of the last."""
        with self._arrived:
            self._number += 1
            asked = self._number
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": asked, "steps": steps}).encode() + b"\n")
        self.process.stdin.flush()
        with self._arrived:
            if not self._arrived.wait_for(lambda: asked in self._answers, 60):
                raise SystemExit("the stream does not answer")
            return self._answers.pop(asked)

    def end(self) -> None:
        """End the stream; ``told`` is then what it sent in all."""
        assert self.process.stdin is not None
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(10)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            with self._arrived:
                if "id" in told:
                    self._answers[told["id"]] = told["sent_us"]
                    self._arrived.notify_all()
                else:
                    self.told = told


def stored(data_dir: Path, since_us: int) -> dict[str, int]:
    """Return what ingest has counted, and the live likes of since a time that are in the store."""
    landing = sqlite3.connect(f"file:{data_dir / 'landing.sqlite'}?mode=ro", uri=True)
    rows = landing.execute("SELECT kind || ' ' || name, value FROM counters").fetchall()
    days = tuple(range(day_of(since_us), day_of(time.time_ns() // 1000) + 1))
    query = "SELECT count(*) FROM likes WHERE day = ? AND rkey >= ? AND seen_us >= ?"
    likes = sum(landing.execute(query, (day, tid_at(since_us), since_us)).fetchone()[0] for day in days)
    landing.close()
    return {**dict(rows), "likes in the store": likes}


def events(counted: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """Return the events counted since."""
    return {
        name: value - before.get(name, 0)
        for name, value in counted.items()
        if name.startswith(("event ", "drop "))
    }
