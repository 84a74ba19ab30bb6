-- Question: what is known of posts, and which of them are gone?
-- Reads: posts
-- Writes: nothing; returns the rows
-- Grain: one row a post
-- Parameters: none
-- Units: as in sql/batch/inputs.sql; deleted is the rule of sql/batch/likes.sql, for analysts and explain

SELECT *
FROM posts
