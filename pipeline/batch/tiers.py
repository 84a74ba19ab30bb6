"""Which jobs the batch has, and for which viewers each may run.

Owns: the names of jobs and tiers, which the command line offers, and which go together; cheap to import. Leaves to
others: when each is due (``run.timetable``), who was seen lately or waits (``store.who_is_due``), who changed
(``neighbours.changed``).
"""

from pipeline.errors import BatchError

JOBS = ("compact", "neighbours", "candidates")  # in this order; "all" runs all three
COPIES = "copies"  # alone, what follows a run for everybody (explore.after_batch)

# Tier: the jobs that may run for it.
TIERS = {
    "all": (*JOBS, "all", COPIES),
    "changed": ("neighbours",),
    "liked": ("neighbours",),
    "recent": ("candidates",),
    "waiting": ("all",),
}
BESIDE = (
    "waiting",
    "recent",
    "liked",
)  # whose runs go on beside the others, each with its own lock and folder
TIER_HELP = (
    "neighbours go with all, changed or liked, candidates with all or recent, "
    "all jobs together with all or waiting, copies with all"
)


def check(job: str, viewers: str) -> None:
    """Raise BatchError unless there is such a job, and it goes with this tier."""
    if job not in TIERS["all"]:
        raise BatchError(f"unknown job {job!r}: expected one of {', '.join(TIERS['all'])}")
    if job not in TIERS.get(viewers, ()):
        raise BatchError(f"job {job!r} does not go with viewers {viewers!r}: {TIER_HELP}")
