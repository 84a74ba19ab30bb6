"""Every process that a test starts has the priority of the test, whatever the command asks the system for.

Batches and analysts' questions give way to all else on the machine. What else there is while tests run are other
tests, and whatever keeps the machine busy: a test would wait for its command until all of that has ended. Python
imports this file at its start, since conftest.py puts its folder on PYTHONPATH; the command ``nice`` is beside it.
"""

import os


def _stay(*_: object) -> int:
    return 0


os.nice = _stay
os.sched_setscheduler = _stay
