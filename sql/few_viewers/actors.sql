-- Question: who are some actors?
-- Reads: actors, temp.wanted_likers. Grain: one actor. Parameters: none.
SELECT a.actor_id, a.did, a.status, a.deleted_us
FROM temp.wanted_likers AS w
CROSS JOIN actors AS a
WHERE a.actor_id = w.actor_id
