-- Question: up to which revision is each like record gone?
-- Reads: staged_unlikes. Writes: unlikes. The greatest rev wins, so a replay changes nothing.
-- Parameters: :first_open_day in days since 1970. 86400000000: microseconds in a day. Of several at once the earlier ones
-- may be of a like in the lake, as when one took another's place (found_open_like in 0001_landing.sql). What is of a closed day is
-- said again after its tombstone went, by a host whose clock may be ahead of the one that told the likes in the lake:
-- it undoes none of the minute before (60000000, CLOCK_SKEW_US), or a like that took another's place would undo itself.
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
