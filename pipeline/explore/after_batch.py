"""What follows a run for everybody or for who changed: copies of the small tables, and the dashboard's figures.

``foryou batch --job copies`` does it alone, for the timetable: no run for viewers who wait for it does this as well.

Owns: doing both after the batch has released its lock. Leaves to others: the copies and the figures. A failure is only
a line in the log, for the lists are published by then.
"""

import logging

import duckdb

from pipeline.errors import PipelineError
from pipeline.explore import dashboard_figures, table_copies
from pipeline.settings import Settings

log = logging.getLogger("foryou.explore")


def run(settings: Settings) -> None:
    """Refresh the copies and the dashboard's file."""
    try:
        table_copies.export(settings.data_dir)
        dashboard_figures.refresh(settings)
    except (PipelineError, OSError, duckdb.Error) as error:
        log.warning("analysts' copies were not refreshed: %s", error)
