-- Question: who requested a feed since a time?
-- Reads: visits
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :since_us
-- Units: microseconds since 1970 (UTC)
SELECT DISTINCT viewer_did AS viewer_did
FROM visits
WHERE last_us >= :since_us
