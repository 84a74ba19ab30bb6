-- Question: which posts are too many?
-- Reads: none
-- Writes: removed_posts
-- Grain: one row per post removed, the oldest first
-- Parameters: :rows (how many)
-- Units: none
DELETE FROM removed_posts
WHERE (rkey, author_id) IN (SELECT rkey, author_id FROM removed_posts ORDER BY rkey, author_id LIMIT :rows);
