-- Question: which hidden authors are too many?
-- Reads: none
-- Writes: hidden_authors
-- Grain: one row per author removed, those that changed longest ago first
-- Parameters: :rows (how many)
-- Units: none
DELETE FROM hidden_authors
WHERE author_id IN (SELECT author_id FROM hidden_authors ORDER BY changed_us, author_id LIMIT :rows);
