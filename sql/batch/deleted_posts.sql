-- Question: which posts are deleted?
-- Reads: posts
-- Writes: deleted_posts
-- Grain: one row per post
-- Parameters: none
-- Units: none
-- Columns: author_id, rkey
CREATE OR REPLACE TABLE deleted_posts AS
SELECT author_id, rkey FROM posts WHERE deleted;
