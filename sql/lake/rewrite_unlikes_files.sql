-- Question: which files of tombstones does the rewrite of a day shorten?
-- Reads: tombstones, day_before (the day's like records)
-- Writes: none
-- Grain: one row per file
-- Parameters: none
-- Units: file is a path
SELECT DISTINCT u.file
FROM tombstones AS u
SEMI JOIN day_before AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey AND u.seen_us >= l.seen_us
ORDER BY u.file;
