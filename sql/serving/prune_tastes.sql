-- Question: which sketches are of posts that are no longer stored?
-- Reads: tastes, posts
-- Writes: tastes
-- Grain: one post
-- Parameters: none
-- Units: none

DELETE FROM tastes WHERE post_id NOT IN (SELECT post_id FROM posts);
