"""The whole feed under one parent: ingest, schedule and serve.

Owns: which processes run. Leaves to others: keeping them alive (``supervisor``).
"""

import logging
import os
import signal

from pipeline.run.supervisor import Supervisor, child_environment
from pipeline.settings import ARCHIVE_KEY, Settings
from pipeline.store.locks import exclusive

log = logging.getLogger("foryou.up")

PARTS = ("ingest", "schedule", "serve")


def run(settings: Settings) -> None:
    """Run all parts until SIGTERM or SIGINT, then stop them within five seconds."""
    with exclusive(settings.data_dir, "up"):
        supervisor = Supervisor(child_environment(settings))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.request_stop())
        for part in PARTS:
            key = os.environ.get(ARCHIVE_KEY)
            supervisor.add(part, secrets={ARCHIVE_KEY: key} if key and part == "schedule" else None)
        supervisor.run()
        log.info("stopped")
