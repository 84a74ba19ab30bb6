-- Question: what stays of a day in the lake once the dead are folded in?
-- Reads: day_before (its like records), tombstones, departed
-- Writes: day
-- Grain: one row a like record
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

CREATE OR REPLACE TABLE day AS
SELECT l.*
FROM day_before AS l
ANTI JOIN tombstones AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us
ANTI JOIN departed AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
