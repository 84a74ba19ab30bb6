-- Question: up to when is each like record gone?
-- Reads: staged_unlikes. Writes: unlikes. The latest time wins, so a replay changes nothing.
INSERT INTO unlikes (liker_id, rkey, seen_us)
SELECT liker_id, rkey, max(seen_us)
FROM staged_unlikes
WHERE true
GROUP BY liker_id, rkey
ON CONFLICT (liker_id, rkey) DO UPDATE SET seen_us = excluded.seen_us
WHERE excluded.seen_us > unlikes.seen_us
