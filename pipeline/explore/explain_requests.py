"""Lists with reasons for the web app, one request after another in a process that lasts: ``foryou explain --why -``.

Owns: the requests and answers, a line of JSON each, which viewers' inputs stay open between them, and when the process
ends. Leaves to others: a viewer's inputs (``viewer_inputs``), the list and its reasons (``list_reasons``).

    {"viewer": "did:…", "set": ["half_life_hours=12"], "public": true}
    {"viewer": …, "posts": […], …}, as ``list_reasons.why`` returns it, or {"error": "a sentence"}

So somebody who moves a slider waits for the list alone: the program has started, and what is read of the likes is read.
The process ends when its input does, at once, and when nobody has asked for a while. Nothing is written.
"""

import json
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import PipelineError
from pipeline.explore.explanation import Row
from pipeline.explore.list_reasons import DAYS_AGO, changes_of, why_of
from pipeline.explore.viewer_inputs import ViewerInputs

IDLE_SECONDS = 120.0
KEPT = 2  # viewers whose inputs stay open: two people are compared


class OpenViewers:
    """The inputs of the viewers who were asked for last, as long as no newer lists are there."""

    def __init__(self, data_dir: Path, threads: int) -> None:
        self._data_dir, self._threads = data_dir, threads
        self._open: OrderedDict[tuple[str, bool], ViewerInputs] = OrderedDict()

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()

    def answer(self, request: Row) -> Row:
        """Return a viewer's list with reasons; PipelineError as ``list_reasons.why``."""
        changes = changes_of(request["set"])
        for key in [key for key, each in self._open.items() if not each.inputs.is_newest()]:
            self._open.pop(key).close()
        key = (request["viewer"], request["public"])
        found = self._open.pop(key, None)
        while len(self._open) >= KEPT:
            self._open.popitem(last=False)[1].close()
        if found is None:
            found = ViewerInputs(self._data_dir, self._threads, key[0], public=key[1])
        try:
            answer = why_of(found, changes)
        except BaseException:
            found.close()
            raise
        if changes.get(DAYS_AGO):  # its lists are those of another day now
            found.close()
        else:
            self._open[key] = found
        return answer


def run(data_dir: Path, threads: int) -> None:
    """Answer the requests of standard input until it ends, or nobody has asked for IDLE_SECONDS."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, lines), name="requests", daemon=True).start()
    viewers = OpenViewers(data_dir, threads)
    try:
        while line := lines.get(timeout=IDLE_SECONDS):
            print(json.dumps(_answered(viewers, json.loads(line))), flush=True)
    except queue.Empty:
        pass
    finally:
        viewers.close()


def _read(stdin: Iterable[str], lines: "queue.SimpleQueue[str]") -> None:
    for line in stdin:
        lines.put(line)
    lines.put("")
    # Nobody waits any more for what is being worked out.
    threading.Timer(1.0, os._exit, [1]).start()


def _answered(viewers: OpenViewers, request: Any) -> Row:
    try:
        return viewers.answer(request)
    except PipelineError as error:
        return {"error": str(error)}
    except duckdb.IOException:  # files of lists that were superseded long ago
        try:
            return viewers.answer(request)
        except PipelineError as error:
            return {"error": str(error)}
