-- Question: who answered a post with "show less" or "show more" since a time?
-- Reads: interactions
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :since_us
-- Units: microseconds since 1970 (UTC)
SELECT DISTINCT viewer_did AS viewer_did
FROM interactions
WHERE received_us > :since_us AND event IN ('requestLess', 'requestMore')
