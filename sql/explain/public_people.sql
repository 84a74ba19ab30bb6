-- Question: who is considered as a neighbour of the viewer?
-- Reads: seed_likers
-- Writes: people
-- Grain: one row per actor: the viewer and the likers of their seeds, of popular seeds the sample
-- Parameters: viewer_id
-- Units: none
-- Columns: actor_id
CREATE OR REPLACE TABLE people AS
SELECT getvariable('viewer_id')::INTEGER AS actor_id
UNION
SELECT liker_id FROM seed_likers;
