-- Question: what are the at-uris of some posts?
-- Reads: posts
-- Writes: none
-- Grain: one row per stored post, in no order
-- Parameters: :posts (JSON array of post ids)
-- Units: none
SELECT post_id, author_id, rkey, uri
FROM posts
WHERE post_id IN (SELECT value FROM json_each(:posts));
