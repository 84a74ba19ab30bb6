-- Question: which of some authors does the operator block or allow?
-- Reads: ruled_accounts
-- Writes: none
-- Grain: one row per author that a rule names
-- Parameters: :authors (JSON array of actor ids)
-- Units: as in 0003_operator_rules.sql
SELECT author_id, blocked
FROM ruled_accounts
WHERE author_id IN (SELECT value FROM json_each(:authors));
