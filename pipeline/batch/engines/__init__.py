"""The engines: this process alone, and a cluster of Ray.

Owns: which one a setting names. Leaves to others: what an engine is (``batch.engine``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.batch.engine import Engine
from pipeline.batch.engines.local import LOCAL
from pipeline.settings import Settings


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Give the engine that FORYOU_ENGINE names while the block lasts."""
    if settings.engine == "local":
        yield LOCAL
        return
    from pipeline.batch.engines.ray import open_ray  # an extra, which takes a second to import

    with open_ray(settings.engine_address, settings.batch_threads) as engine:
        yield engine
