-- Question: who is looked at as a neighbour of the viewer?
-- Reads: seed_likers
-- Writes: people
-- Grain: one row an actor: the viewer and the likers of their seeds, of popular ones the sample
-- Parameters: viewer_id
-- Units: none

CREATE OR REPLACE TABLE people AS
SELECT getvariable('viewer_id')::INTEGER AS actor_id
UNION
SELECT liker_id FROM seed_likers;
