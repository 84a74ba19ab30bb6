"""What can go wrong with a backfill that the operator can mend.

Owns: ``BackfillError``. It joins the errors of ``pipeline.errors``: one line, exit status 1.
"""

from pipeline.errors import PipelineError


class BackfillError(PipelineError):
    """History can't be had: the text says from whom, why, and what to do."""
