-- Question: up to which revision does an unlike undo each like record?
-- Reads: staged_unlikes
-- Writes: unlikes
-- Grain: one row per like record; the greatest rev wins, so a replay changes nothing
-- Parameters: :first_open_day
-- Units: first_open_day is in days since 1970; 86400000000 is a day in microseconds, 60000000 a minute, CLOCK_SKEW_US

-- Of several unlikes at once the earlier ones may be of a like in the lake, as when one replaces another
-- (found_open_like in 0001_schema.sql). An unlike of a closed day was repeated after its tombstone was deleted, by a
-- host whose clock may be ahead of the one that sent the likes of the lake. It undoes nothing of the minute before, or
-- a like that replaced another would undo itself.
INSERT INTO unlikes (rkey, liker_id, day, seen_us, rev, found_open_like)
SELECT
  rkey, liker_id, max(seen_us / 86400000000, :first_open_day),
  seen_us - iif(seen_us / 86400000000 < :first_open_day, 60000000, 0), max(rev),
  CASE WHEN count(DISTINCT rev) > 1 THEN -1 ELSE 0 END
FROM staged_unlikes
WHERE true
GROUP BY rkey, liker_id
ON CONFLICT (rkey, liker_id) DO UPDATE
SET day = excluded.day, seen_us = excluded.seen_us, rev = excluded.rev, found_open_like = -1
WHERE excluded.rev > unlikes.rev
