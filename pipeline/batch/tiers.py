"""Which jobs the batch has, and for which viewers each may run.

Owns: the names of jobs and tiers, which the command line offers; cheap to import. Leaves to others: when each
is due (``run.timetable``), who was seen lately or waits (``store.who_is_due``), who changed
(``neighbours.changed``).
"""

JOBS = ("compact", "neighbours", "candidates")  # in this order; "all" runs all three
COPIES = "copies"  # alone, what follows a run for everybody (explore.after_batch)

# Tier: the jobs that may run for it.
TIERS = {
    "all": (*JOBS, "all"),
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
