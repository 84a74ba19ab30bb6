-- Question: does this account count, and what of it is gone for good? The latest word wins, so a replay
-- changes nothing; a deletion counts also when a later word was here first.
-- Writes: actors. Parameters: :actor, :status (pipeline/store/model.py), :said_us, :deleted_us (0: no deletion).
UPDATE actors
SET status = iif(status_us < :said_us, :status, status),
    status_us = max(status_us, :said_us),
    deleted_us = max(deleted_us, :deleted_us)
WHERE actor_id = :actor
