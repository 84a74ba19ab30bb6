-- Question: which of these DIDs have a number already?
-- Reads: actors. Grain: one DID that has. Parameters: :dids, a JSON array, best sorted: one walk of the index.
SELECT given.value, actors.actor_id
FROM json_each(:dids) AS given
CROSS JOIN actors ON actors.did = given.value
