-- Question: what remains of a day in the lake without the likes that unlikes undo and those of deleted accounts?
-- Reads: day_before (the day's like records), tombstones, deleted_accounts
-- Writes: day
-- Grain: one row per like record
-- Parameters: none
-- Units: seen_us and deleted_us are microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE day AS
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM day_before AS l
ANTI JOIN tombstones AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us
ANTI JOIN deleted_accounts AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
