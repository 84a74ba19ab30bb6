"""Giving way to the pipeline: nobody waits for an analyst but the analyst.

Owns: ``give_way``. It imports nothing heavy, so that a command can give way before it loads its libraries.
"""

import os


def give_way() -> None:
    """Run only when the machine has nothing better to do (Linux), or at the lowest priority (elsewhere)."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
