-- Question: when did the last run for a waiting viewer begin?
-- Writes: waiting_runs. Grain: one viewer. Parameters: :viewer_did, :began_us microseconds since 1970.
INSERT INTO waiting_runs (viewer_did, began_us)
VALUES (:viewer_did, :began_us)
ON CONFLICT (viewer_did) DO UPDATE SET began_us = max(began_us, excluded.began_us)
