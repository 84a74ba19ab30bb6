-- Question: does this account count? The latest word wins, so a replay changes nothing.
-- Writes: actors. Parameters: :actor, :status (pipeline/store/model.py), :seen_us.
UPDATE actors
SET status = :status, status_us = :seen_us
WHERE actor_id = :actor AND status_us < :seen_us
