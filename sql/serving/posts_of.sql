-- Question: what is known of some posts, for people to read?
-- Reads: posts
-- Writes: none
-- Grain: one row per stored post, in no order
-- Parameters: :posts (JSON array of post ids)
-- Units: created_us is microseconds since 1970 (UTC)
SELECT post_id, author_id, rkey, uri, created_us, likers
FROM posts
WHERE post_id IN (SELECT value FROM json_each(:posts));
