-- Question: which posts does a part bring?
-- Reads: part.posts
-- Writes: posts
-- Grain: one row per post
-- Parameters: none
-- Units: none
INSERT OR REPLACE INTO posts
  (post_id, author_id, rkey, uri, created_us, likers, last_generation, langs, media)
SELECT post_id, author_id, rkey, uri, created_us, likers, last_generation, langs, media
FROM part.posts;
