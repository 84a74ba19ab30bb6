-- Question: from whom is a post withheld, for one cause?
-- Reads: none
-- Writes: withheld_posts
-- Grain: one row per (post, cause)
-- Parameters: :rkey, :author_id, :cause, :level
-- Units: as in 0002_withheld.sql
INSERT INTO withheld_posts (rkey, author_id, cause, level)
VALUES (:rkey, :author_id, :cause, :level)
ON CONFLICT (rkey, author_id, cause) DO UPDATE SET level = excluded.level;
