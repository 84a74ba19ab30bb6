-- Question: who likes these posts?
-- Reads: taste_sketches. Grain: a row for each post that has a sketch, in no order.
-- Parameters: :posts JSON array of post_id.
SELECT post_id, sketch
FROM taste_sketches
WHERE post_id IN (SELECT value FROM json_each(:posts));
