-- Question: of whose likes do files of changes tell something that was seen since a time?
-- Reads: lake_changes
-- Writes: none
-- Grain: one row per liker
-- Parameters: $files (paths of files of changes), $since_us
-- Units: seen_us is microseconds since 1970 (UTC)
SELECT DISTINCT liker_id AS actor_id
FROM lake_changes($files)
WHERE seen_us > $since_us;
