-- Question: who asked for a feed since a time?
-- Reads: visits. Grain: one viewer. Parameters: :since_us microseconds since 1970.
SELECT DISTINCT viewer_did AS viewer_did
FROM visits
WHERE last_us >= :since_us
