-- Question: which unlikes of a day of history may concern likes of days that are made later?
-- Reads: spooled, arrived, beyond (rows witnessed on days after it that are not made)
-- Writes: nothing; returns the rows
-- Grain: one row a like record
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
-- An rkey that is a time in the past tells on which day the like is; that day is made without it. Of the others
-- those that hit a like of this very day are done with.

SELECT u.liker_id::INTEGER AS liker_id, u.rkey::BIGINT AS rkey, max(u.seen_us)::BIGINT AS seen_us
FROM (FROM spooled UNION ALL FROM beyond) AS u
ANTI JOIN arrived AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey AND l.seq < u.seq
WHERE u.kind = 2 AND (u.rkey < 0 OR (u.rkey >> 10) > u.seen_us)
GROUP BY u.liker_id, u.rkey
ORDER BY 1, 2;
