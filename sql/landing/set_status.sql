-- Question: does this account count, and up to when are its records deleted?
-- Reads: none
-- Writes: actors
-- Grain: one row per actor; the latest status and the latest deletion win, so a replay changes nothing
-- Parameters: :actor, :status (pipeline/store/model.py), :said_us, :deleted_us (0: not deleted)
-- Units: microseconds since 1970 (UTC)
UPDATE actors
SET status = iif(status_us < :said_us, :status, status),
    status_us = max(status_us, :said_us),
    deleted_us = max(deleted_us, :deleted_us)
WHERE actor_id = :actor
