-- Question: when did the last run for a waiting viewer begin, and which words about likes did it know?
-- Reads: none
-- Writes: waiting_runs
-- Grain: one row per viewer
-- Parameters: :viewer_did, :began_us, :commit_no (the last of landing.sqlite)
-- Units: microseconds since 1970 (UTC)
INSERT INTO waiting_runs (viewer_did, began_us, commit_no)
VALUES (:viewer_did, :began_us, :commit_no)
ON CONFLICT (viewer_did) DO UPDATE
SET began_us = max(began_us, excluded.began_us), commit_no = max(commit_no, excluded.commit_no)
