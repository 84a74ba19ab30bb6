"""``foryou node``: a machine that serves one shard of viewers, with lists that the head makes.

Owns: what runs, and what must be there before the first request. Leaves to others: keeping the processes alive
(``run.supervisor``), and the exchange (``sync``).
"""

import logging
import signal
import threading

from pipeline.errors import SettingError
from pipeline.nodes.sync import Exchange, SyncTurns
from pipeline.run.supervisor import Supervisor, child_environment
from pipeline.settings import Settings
from pipeline.store.locks import exclusive
from pipeline.store.newest_generation import newest_generation
from sql import places

log = logging.getLogger("foryou.node")

PARTS = ("sync", "serve")
WAIT_SECONDS = 1.0


def run(settings: Settings, journals: Exchange) -> None:
    """Serve a shard until SIGTERM or SIGINT.

    A node without lists waits for them, so that no viewer gets an empty page. One that has some serves them, also
    while the shared folder can't be reached.
    """
    if settings.shard is None:
        raise SettingError(
            "FORYOU_SHARD is not set: it says which viewers this node serves, such as --shard 1/2"
        )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with exclusive(settings.data_dir, "up"):
        if not _has_what_it_serves(settings, journals, stopping):
            return
        supervisor = Supervisor(child_environment(settings))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.request_stop())
        if stopping.is_set():
            return
        for part in PARTS:
            supervisor.add(part)
        supervisor.run()
        log.info("stopped")


def _has_what_it_serves(settings: Settings, journals: Exchange, stopping: threading.Event) -> bool:
    """Wait for lists and the key of page cursors; False when it is to stop before."""
    with exclusive(settings.data_dir, "sync"):
        turns = SyncTurns(settings, journals)
        turns.take_turn()  # also where there are lists: those of an hour ago are not the newest
        said = False
        while not (newest_generation(settings.data_dir) and places.cursor_key(settings.data_dir).exists()):
            if not said:
                log.info("waiting for the head's lists in %s", turns.shared_dir)
                said = True
            if stopping.wait(WAIT_SECONDS):
                break
            turns.take_turn()
        turns.close()
    return not stopping.is_set()
