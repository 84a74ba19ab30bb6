-- Question: does this account count, and up to when are its records deleted?
-- Reads: none
-- Writes: actors
-- Grain: one row per actor. A stream keeps the order of an account's events, so its later word wins; a word from elsewhere
--   wins when it was seen later; so does the latest deletion
-- Parameters: :actor, :status (pipeline/store/model.py), :seen_us, :in_order, :deleted_us (0: not deleted)
-- Units: microseconds since 1970 (UTC)
UPDATE actors
SET status = iif(:in_order OR status_us < :seen_us, :status, status),
    status_us = iif(:in_order OR status_us < :seen_us, :seen_us, status_us),
    deleted_us = max(deleted_us, :deleted_us)
WHERE actor_id = :actor
