-- Question: which of the records picked from the lake does no unlike undo?
-- Reads: lake_records, unlikes
-- Writes: none
-- Grain: one row per like record
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_records AS l
ANTI JOIN unlikes AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us
