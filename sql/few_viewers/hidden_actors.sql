-- Question: whose likes and posts do not count, or only since a time?
-- Reads: actors
-- Writes: none
-- Grain: one row per actor that is not active, or was deleted and came back
-- Parameters: none
-- Units: deleted_us is microseconds since 1970 (UTC)
SELECT actor_id, did, status, deleted_us
FROM actors
WHERE status <> 0 OR deleted_us > 0
