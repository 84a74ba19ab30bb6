-- Question: who are the wanted actors, of those that hidden_actors does not name?
-- Reads: temp.wanted_actors, actors
-- Writes: none
-- Grain: one row per actor
-- Parameters: none
-- Units: columns as in hidden_actors; who is not named there is active and was never deleted
SELECT a.actor_id, a.did, 0, 0
FROM temp.wanted_actors AS w
CROSS JOIN actors AS a
WHERE a.actor_id = w.actor_id
