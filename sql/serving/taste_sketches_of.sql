-- Question: what kind of people likes these posts?
-- Reads: taste_sketches
-- Writes: none
-- Grain: one row per post that has a sketch, in no order
-- Parameters: :posts (JSON array of post ids)
-- Units: sketch is 64 bits
SELECT post_id, sketch
FROM taste_sketches
WHERE post_id IN (SELECT value FROM json_each(:posts));
