-- Question: which of some authors are hidden, and up to which of their posts?
-- Reads: hidden_authors
-- Writes: none
-- Grain: one row per hidden author
-- Parameters: :authors (JSON array of actor ids)
-- Units: none
SELECT author_id, until_rkey
FROM hidden_authors
WHERE author_id IN (SELECT value FROM json_each(:authors));
