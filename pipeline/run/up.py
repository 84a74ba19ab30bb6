"""The whole feed under one parent: ingest, schedule and serve.

Owns: which processes run. Leaves to others: keeping them alive (``supervisor``).
"""

import logging
import os
import signal

from pipeline.errors import SettingError
from pipeline.run.supervisor import Supervisor, child_environment
from pipeline.settings import ARCHIVE_KEY, Settings
from pipeline.store.locks import exclusive

log = logging.getLogger("foryou.up")

PARTS = ("ingest", "schedule", "serve")
BESIDE_NODES = ("sync",)  # where other machines serve, too


def run(settings: Settings) -> None:
    """Run all parts until SIGTERM or SIGINT, then stop them within five seconds."""
    if settings.shard is not None:
        raise SettingError("FORYOU_SHARD is set: this machine serves as a node, which 'foryou node' runs")
    with exclusive(settings.data_dir, "up"):
        supervisor = Supervisor(child_environment(settings))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.request_stop())
        for part in PARTS if settings.shared_dir is None else (*PARTS, *BESIDE_NODES):
            key = os.environ.get(ARCHIVE_KEY)
            supervisor.add(part, secrets={ARCHIVE_KEY: key} if key and part == "schedule" else None)
        supervisor.run()
        log.info("stopped")
