-- Question: which DIDs are new?
-- Writes: actors. Parameters: :first the number of the first, :dids, a JSON array, best sorted: one walk of the index.
INSERT INTO actors (actor_id, did)
SELECT :first + key, value FROM json_each(:dids)
