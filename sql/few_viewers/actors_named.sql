-- Question: which actors have these DIDs?
-- Reads: actors. Grain: one actor that was ever seen. Parameters: :dids JSON array.
SELECT a.actor_id, a.did, a.status, a.deleted_us
FROM json_each(:dids) AS d
CROSS JOIN actors AS a
WHERE a.did = d.value
