"""The ingest process: one landing store, one stream of events and those of labelers, until it is stopped.

Owns: joining follower and writer, signals, and where to resume. Leaves to others: everything else.
"""

import asyncio
import gc
import logging
import signal
import sqlite3
import time
from collections.abc import Callable

from pipeline.blocking.watched_rules import WatchedRules
from pipeline.errors import StoreError
from pipeline.ingest.follow import Follower
from pipeline.ingest.labels.label_streams import LabelStreams
from pipeline.ingest.labels.label_writer import LabelerDirectory
from pipeline.ingest.stream_metrics import Metrics
from pipeline.ingest.wires import Subscription, subscription, wire_of
from pipeline.ingest.writer import Writer
from pipeline.label_levels import levels_from
from pipeline.notify import service_manager
from pipeline.ranking import ranking_from
from pipeline.settings import Settings
from pipeline.store.labels import LabelStore
from pipeline.store.landing import Landing
from pipeline.store.landing_retention import Retention
from pipeline.store.locks import exclusive
from sql import places

log = logging.getLogger("foryou.ingest")

# A batch is some 100,000 objects that live for a second and refer to nothing, beside a cache of millions of DIDs. At
# the default thresholds the search for cycles would walk over them again and again.
GC_THRESHOLDS = (200_000, 50, 1_000)


def run(settings: Settings, labelers: LabelerDirectory) -> None:
    """Follow the streams until SIGTERM or SIGINT; everything taken in is committed before it returns."""
    levels = levels_from(settings.labels)
    for url in settings.stream_url:
        wire_of(url)  # refuses a wrong address before anything is opened
    gc.set_threshold(*GC_THRESHOLDS)
    metrics = Metrics()
    if settings.metrics_listen is not None:
        metrics.serve(settings.metrics_listen)
    with exclusive(settings.data_dir, "ingest"):
        landing = Landing(settings.data_dir)
        labels = LabelStore(settings.data_dir, levels, settings.labelers)
        service_manager().ready()
        try:
            asyncio.run(
                _follow(
                    settings,
                    landing,
                    metrics,
                    lambda fail: LabelStreams(
                        labels,
                        settings.labelers,
                        levels,
                        labelers,
                        metrics,
                        fail,
                        settings.stream_silence_seconds,
                    ),
                )
            )
        except sqlite3.Error as error:
            raise StoreError(
                f"can't write {places.landing(settings.data_dir)}: {error}; nothing is lost, the stream is read "
                "again from the last commit at the next start"
            ) from error
        finally:
            labels.close()
            landing.close()


async def _follow(
    settings: Settings,
    landing: Landing,
    metrics: Metrics,
    label_streams: Callable[[Callable[[BaseException], None]], LabelStreams],
) -> None:
    loop = asyncio.get_running_loop()
    start_us = int((time.time() - settings.stream_start_hours * 3600) * 1e6)
    ended: asyncio.Future[None] = loop.create_future()

    def end(error: BaseException | None = None) -> None:
        if not ended.done():
            ended.set_result(None) if error is None else ended.set_exception(error)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)

    def fail(error: BaseException) -> None:
        loop.call_soon_threadsafe(end, error)

    rules = WatchedRules(settings.data_dir)
    history_days = ranking_from(settings.ranking).seed_window_days
    writer = Writer(landing, Retention(landing, settings.data_dir, history_days), rules, metrics, fail)

    async def resume(url: str) -> Subscription:
        return await subscription(url, writer.position, start_us)

    follower = Follower(
        settings.stream_url,
        lambda: writer.settled,
        resume,
        writer.offer,
        writer.forget_cursor,
        lambda name: writer.count("connection", name),
        settings.stream_silence_seconds,
    )
    labels = label_streams(fail)
    writer.start()
    labels.start()
    task = asyncio.create_task(follower.run())
    task.add_done_callback(lambda done: end(None if done.cancelled() else done.exception()))
    try:
        await ended
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await labels.stop()
        await loop.run_in_executor(None, writer.stop)
