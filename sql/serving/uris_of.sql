-- Question: what are the at-uris of some posts?
-- Reads: posts. Grain: a row for each post that is still stored, in no order.
-- Parameters: :posts JSON array of post ids.
SELECT post_id, uri
FROM posts
WHERE post_id IN (SELECT value FROM json_each(:posts));
