-- Question: which withheld authors are too many?
-- Reads: none
-- Writes: withheld_authors
-- Grain: one row per (author, cause) removed, those that changed longest ago first
-- Parameters: :rows (how many)
-- Units: none
DELETE FROM withheld_authors
WHERE (author_id, cause) IN (
  SELECT author_id, cause FROM withheld_authors ORDER BY changed_us, author_id, cause LIMIT :rows);
