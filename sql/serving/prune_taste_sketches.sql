-- Question: which sketches are of posts that are no longer stored?
-- Reads: taste_sketches, posts
-- Writes: taste_sketches
-- Grain: one post
-- Parameters: none
-- Units: none

DELETE FROM taste_sketches WHERE post_id NOT IN (SELECT post_id FROM posts);
