-- Question: who answered a post with "show less" or "show more" since a time?
-- Reads: interactions. Grain: one viewer. Parameters: :since_us microseconds since 1970.
SELECT DISTINCT viewer_did AS viewer_did
FROM interactions
WHERE received_us > :since_us AND event IN ('requestLess', 'requestMore')
