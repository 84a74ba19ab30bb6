-- Question: which posts are deleted?
-- Reads: posts
-- Writes: deleted_posts
-- Grain: one row a post
-- Parameters: none
-- Units: none

CREATE OR REPLACE TABLE deleted_posts AS
SELECT author_id, rkey FROM posts WHERE deleted;
