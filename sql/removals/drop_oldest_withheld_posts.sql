-- Question: which withheld posts are too many?
-- Reads: none
-- Writes: withheld_posts
-- Grain: one row per (post, cause) removed, the oldest post first
-- Parameters: :rows (how many)
-- Units: none
DELETE FROM withheld_posts
WHERE (rkey, author_id, cause) IN (
  SELECT rkey, author_id, cause FROM withheld_posts ORDER BY rkey, author_id, cause LIMIT :rows);
