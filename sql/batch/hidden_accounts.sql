-- Question: whose likes and posts do not count, and up to when?
-- Reads: actors
-- Writes: hidden_accounts
-- Grain: one row an actor that is not active, or was deleted once
-- Parameters: none
-- Units: hidden_us is microseconds since 1970 (UTC). What an account did up to its deleted_us went with it, also when
--   the account is active again; of one that is not active nothing counts

CREATE OR REPLACE TABLE hidden_accounts AS
SELECT actor_id, CASE WHEN status <> 0 THEN 9223372036854775807 ELSE deleted_us END AS hidden_us
FROM actors
WHERE status <> 0 OR deleted_us > 0;
