-- Question: which of these DIDs have a number already?
-- Reads: actors
-- Writes: none
-- Grain: one row per DID that has one
-- Parameters: :dids (JSON array, best sorted: one walk of the index)
-- Units: none
SELECT given.value, actors.actor_id
FROM json_each(:dids) AS given
CROSS JOIN actors ON actors.did = given.value
