-- Question: which posts were numbered after one? (Into a part; numbers grow.)
-- Reads: head.posts
-- Writes: posts
-- Grain: one row per post
-- Parameters: :post_id (-1 for all)
-- Units: none
INSERT INTO posts
SELECT post_id, author_id, rkey, uri, created_us, likers, last_generation, langs, media
FROM head.posts
WHERE post_id > :post_id;
