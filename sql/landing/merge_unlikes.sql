-- Question: up to which revision is each like record gone?
-- Reads: staged_unlikes. Writes: unlikes. The greatest rev wins, so a replay changes nothing.
-- Parameters: :first_open_day in days since 1970. 86400000000: microseconds in a day.
INSERT INTO unlikes (rkey, liker_id, day, seen_us, rev)
SELECT rkey, liker_id, max(seen_us / 86400000000, :first_open_day), seen_us, max(rev)
FROM staged_unlikes
WHERE true
GROUP BY rkey, liker_id
ON CONFLICT (rkey, liker_id) DO UPDATE
SET day = excluded.day, seen_us = excluded.seen_us, rev = excluded.rev, met = -1
WHERE excluded.rev > unlikes.rev
