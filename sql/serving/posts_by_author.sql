-- Question: which posts are by these authors?
-- Reads: posts
-- Writes: none
-- Grain: one row per stored post, in no order
-- Parameters: :authors (JSON array of author ids)
-- Units: none
SELECT post_id
FROM posts
WHERE author_id IN (SELECT value FROM json_each(:authors));
