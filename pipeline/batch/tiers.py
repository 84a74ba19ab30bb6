"""Whose lists and neighbours a run makes: everybody's, or those of some.

Owns: the tiers' names, and which job each goes with. Leaves to others: when each is due (``timetable``), who
was seen lately or waits (``store.who_is_due``), who changed (``neighbours_job``).
"""

# Tier: the jobs there are for it.
TIERS = {
    "all": ("compact", "neighbours", "candidates", "all"),
    "changed": ("neighbours",),
    "recent": ("candidates",),
    "waiting": ("all",),
}
TIER_HELP = (
    "neighbours go with all or changed, candidates with all or recent, all jobs together with all or waiting"
)
