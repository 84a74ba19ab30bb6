-- Question: which active actors have the wanted DIDs?
-- Reads: temp.wanted_dids, actors
-- Writes: none
-- Grain: one row per actor that was ever seen, but for those of hidden_actors
-- Parameters: none
-- Units: deleted_us is microseconds since 1970 (UTC)
SELECT a.actor_id, a.did, a.status, a.deleted_us
FROM temp.wanted_dids AS w
CROSS JOIN actors AS a
WHERE a.did = w.did AND a.status = 0 AND a.deleted_us = 0
