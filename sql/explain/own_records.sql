-- Question: what did these people like?
-- Reads: stored_records, people
-- Writes: own_records
-- Grain: one row per like record
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us, open BOOLEAN
CREATE OR REPLACE TABLE own_records AS
SELECT r.*
FROM stored_records AS r
SEMI JOIN people AS p ON p.actor_id = r.liker_id;
