-- Question: which tombstones of a file still have something to undo, once a day is rewritten?
-- Reads: tombstones, day_before (the day's like records)
-- Writes: none
-- Grain: one row per tombstone
-- Parameters: file (path)
-- Units: seen_us is microseconds since 1970 (UTC)
SELECT u.liker_id, u.rkey, u.seen_us
FROM tombstones AS u
ANTI JOIN day_before AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey AND u.seen_us >= l.seen_us
WHERE u.file = getvariable('file')
ORDER BY u.rkey, u.liker_id;
