-- Question: how many viewers opened the feed since a time?
-- Reads: visits
-- Writes: none
-- Grain: one row
-- Parameters: :since_us
-- Units: microseconds since 1970 (UTC)
SELECT count(DISTINCT viewer_did) AS viewers
FROM visits
WHERE last_us >= :since_us
