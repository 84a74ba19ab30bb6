-- Question: whose repository is to be fetched, since it may hold other likes than the stream reported of?
-- Reads: actors
-- Writes: fetched_viewers
-- Grain: one row per DID; none for an actor of whom nothing is stored, since nothing about them can be wrong
-- Parameters: :did
-- Units: none
INSERT INTO fetched_viewers (did, fetched_us, likes, outcome, reset_no)
SELECT
  :did, 0, 0, 'reset', (SELECT coalesce(max(reset_no), 0) + 1 FROM fetched_viewers WHERE reset_no > 0)
WHERE EXISTS (SELECT 1 FROM actors WHERE did = :did) OR EXISTS (SELECT 1 FROM fetched_viewers WHERE did = :did)
ON CONFLICT (did) DO UPDATE SET outcome = excluded.outcome, reset_no = excluded.reset_no
