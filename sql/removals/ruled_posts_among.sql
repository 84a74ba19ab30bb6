-- Question: which posts with some record keys does the operator block or allow?
-- Reads: ruled_posts
-- Writes: none
-- Grain: one row per post that a rule names
-- Parameters: :rkeys (JSON array of record keys)
-- Units: as in 0003_operator_rules.sql
SELECT author_id, rkey, blocked
FROM ruled_posts
WHERE rkey IN (SELECT value FROM json_each(:rkeys));
