-- Question: up to which revision is each like record gone?
-- Reads: staged_unlikes. Writes: unlikes. The greatest rev wins, so a replay changes nothing.
-- Parameters: :first_open_day in days since 1970. 86400000000: microseconds in a day. Of several at once the earlier ones
-- may be of a like in the lake, as when one took another's place (met in 0001_landing.sql).
INSERT INTO unlikes (rkey, liker_id, day, seen_us, rev, met)
SELECT
  rkey, liker_id, max(seen_us / 86400000000, :first_open_day), seen_us, max(rev),
  CASE WHEN count(DISTINCT rev) > 1 THEN -1 ELSE 0 END
FROM staged_unlikes
WHERE true
GROUP BY rkey, liker_id
ON CONFLICT (rkey, liker_id) DO UPDATE
SET day = excluded.day, seen_us = excluded.seen_us, rev = excluded.rev, met = -1
WHERE excluded.rev > unlikes.rev
