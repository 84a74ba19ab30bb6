-- Question: when did the last run for a waiting viewer begin?
-- Reads: none
-- Writes: waiting_runs
-- Grain: one row per viewer
-- Parameters: :viewer_did, :began_us
-- Units: microseconds since 1970 (UTC)
INSERT INTO waiting_runs (viewer_did, began_us)
VALUES (:viewer_did, :began_us)
ON CONFLICT (viewer_did) DO UPDATE SET began_us = max(began_us, excluded.began_us)
