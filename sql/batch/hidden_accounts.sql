-- Question: whose likes and posts do not count, and up to when?
-- Reads: actors
-- Writes: hidden_accounts
-- Grain: one row per actor that is inactive, or was deleted once
-- Parameters: none
-- Units: hidden_us is the time of the last deletion; for an inactive account, the end of time
-- Columns: actor_id, hidden_us
CREATE OR REPLACE TABLE hidden_accounts AS
SELECT actor_id, CASE WHEN status <> 0 THEN 9223372036854775807 ELSE deleted_us END AS hidden_us
FROM actors
WHERE status <> 0 OR deleted_us > 0;
