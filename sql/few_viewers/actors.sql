-- Question: who are the wanted actors?
-- Reads: temp.wanted_actors, actors
-- Writes: none
-- Grain: one row per actor
-- Parameters: none
-- Units: deleted_us is microseconds since 1970 (UTC)
SELECT a.actor_id, a.did, a.status, a.deleted_us
FROM temp.wanted_actors AS w
CROSS JOIN actors AS a
WHERE a.actor_id = w.actor_id
