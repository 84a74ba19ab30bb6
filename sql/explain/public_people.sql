-- Question: who liked a post that the viewer liked?
-- Reads: stored_records
-- Writes: people
-- Grain: one row an actor: the viewer and everybody who may be their neighbour
-- Parameters: viewer_id
-- Units: none

CREATE OR REPLACE TABLE people AS
WITH liked AS (
  SELECT DISTINCT author_id, post_rkey FROM stored_records WHERE liker_id = getvariable('viewer_id')
)
SELECT getvariable('viewer_id')::INTEGER AS actor_id
UNION
SELECT r.liker_id
FROM stored_records AS r
SEMI JOIN liked AS l ON l.author_id = r.author_id AND l.post_rkey = r.post_rkey;
