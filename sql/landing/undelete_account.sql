-- Question: which account is back, so that its repository says which of its records there are?
-- Reads: none
-- Writes: actors
-- Grain: one actor at most; a deletion later than the repository's revision stays
-- Parameters: :actor, :rev
-- Units: 1024 to the microsecond in a TID
UPDATE actors SET deleted_us = 0 WHERE actor_id = :actor AND deleted_us > 0 AND deleted_us * 1024 < :rev
