-- Question: whose likes must be asked for again, since their repository holds something else now?
-- Writes: fetched_viewers; nothing for those who never read the feed. Parameters: did.
-- 'reset' is fetched whatever likes are here; fetched_us 0 makes it due now (pipeline/store/fetched_likes.py).
UPDATE fetched_viewers SET fetched_us = 0, outcome = 'reset' WHERE did = ?
