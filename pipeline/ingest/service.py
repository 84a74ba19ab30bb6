"""The ingest process: one landing store, one stream, until it is told to stop.

Owns: putting follower and writer together, signals, and where to resume. Leaves to others: everything else.
"""

import asyncio
import logging
import signal
import time

from pipeline.ingest.follow import Chunk, Follower
from pipeline.ingest.wires import resume_url, wire_of
from pipeline.ingest.writer import Writer
from pipeline.settings import Settings
from pipeline.store.landing import Landing
from pipeline.store.locks import exclusive

log = logging.getLogger("foryou.ingest")


def run(settings: Settings) -> None:
    """Follow the stream until SIGTERM or SIGINT; everything taken in is committed before it returns."""
    for url in settings.stream_url:
        wire_of(url)  # a wrong one is told before anything is opened
    with exclusive(settings.data_dir, "ingest"):
        landing = Landing(settings.data_dir)
        try:
            asyncio.run(_follow(settings, landing))
        finally:
            landing.close()


async def _follow(settings: Settings, landing: Landing) -> None:
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

    writer = Writer(landing, settings.data_dir, fail)

    async def deliver(chunk: Chunk) -> None:
        while writer.alive and not writer.offer(chunk):
            await asyncio.sleep(0.02)

    async def resume(url: str) -> str:
        # Going on from an older position would only cost time, but in a fresh store there is none at all.
        while not writer.settled:
            await asyncio.sleep(0.02)
        return resume_url(url, writer.position, start_us)

    follower = Follower(
        settings.stream_url,
        resume,
        deliver,
        lambda name: writer.count("connection", name),
        settings.stream_silence_seconds,
    )
    writer.start()
    task = asyncio.create_task(follower.run())
    task.add_done_callback(lambda done: end(None if done.cancelled() else done.exception()))
    try:
        await ended
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.run_in_executor(None, writer.stop)
