-- Question: which actors have these DIDs?
-- Reads: actors
-- Writes: none
-- Grain: one row per actor that was ever seen
-- Parameters: :dids (JSON array)
-- Units: deleted_us is microseconds since 1970 (UTC)
SELECT a.actor_id, a.did, a.status, a.deleted_us
FROM json_each(:dids) AS d
CROSS JOIN actors AS a
WHERE a.did = d.value
