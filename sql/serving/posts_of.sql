-- Question: what is known about some posts, for people to read?
-- Reads: posts. Grain: a row for each post that is still stored, in no order; created_us in microseconds since
-- 1970. Parameters: :posts JSON array of post ids.
SELECT post_id, uri, created_us, likers
FROM posts
WHERE post_id IN (SELECT value FROM json_each(:posts));
