-- Question: which unlikes of a day of history may concern likes of days that are made later?
-- Reads: spooled_rows, later_rows, day_likes
-- Writes: none
-- Grain: one row per like record. An rkey that is a time in the past tells its like's day, which is made without it;
--   other unlikes are done with once they undo a like of this day
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
SELECT u.liker_id::INTEGER AS liker_id, u.rkey::BIGINT AS rkey, max(u.seen_us)::BIGINT AS seen_us
FROM (FROM spooled_rows UNION ALL FROM later_rows) AS u
ANTI JOIN day_likes AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey AND l.seq < u.seq
WHERE u.kind = 2 AND (u.rkey < 0 OR (u.rkey >> 10) > u.seen_us)
GROUP BY u.liker_id, u.rkey
ORDER BY 1, 2;
