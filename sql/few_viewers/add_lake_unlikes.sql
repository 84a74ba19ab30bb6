-- Question: which tombstones of the lake may undo the records that were picked?
-- Reads: lake_unlikes, lake_records
-- Writes: unlikes
-- Grain: one row per tombstone
-- Parameters: unlike_files (paths)
-- Units: seen_us is microseconds since 1970 (UTC)
INSERT INTO unlikes
SELECT u.liker_id, u.rkey, u.seen_us
FROM lake_unlikes(getvariable('unlike_files')) AS u
SEMI JOIN lake_records AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey;
