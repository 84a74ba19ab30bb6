-- Question: which files of tombstones lose some, once a day is folded?
-- Reads: tombstones, day_before (the day's like records before)
-- Writes: nothing. Grain: one file. Parameters: none
-- Units: none

SELECT DISTINCT u.file
FROM tombstones AS u
SEMI JOIN day_before AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey AND u.seen_us >= l.seen_us
ORDER BY u.file;
