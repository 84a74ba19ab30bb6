-- Question: which DIDs are new?
-- Reads: none
-- Writes: actors
-- Grain: one row per DID
-- Parameters: :first (the first number), :dids (JSON array, best sorted: one walk of the index)
-- Units: none
INSERT INTO actors (actor_id, did)
SELECT :first + key, value FROM json_each(:dids)
