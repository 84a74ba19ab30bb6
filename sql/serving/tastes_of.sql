-- Question: who likes these posts?
-- Reads: tastes. Grain: a row for each post that has a sketch, in no order.
-- Parameters: :posts JSON array of post_id.
SELECT post_id, sketch
FROM tastes
WHERE post_id IN (SELECT value FROM json_each(:posts));
