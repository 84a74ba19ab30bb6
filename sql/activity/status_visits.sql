-- Question: how many viewers opened the feed since a time?
-- Reads: visits. Grain: one row. Parameters: :since_us.
SELECT count(DISTINCT viewer_did) AS viewers
FROM visits
WHERE last_us >= :since_us
