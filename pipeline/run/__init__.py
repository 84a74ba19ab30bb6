"""Running the parts: ``up`` starts all, ``supervisor`` keeps them running, ``timetable`` starts the batch's jobs."""
