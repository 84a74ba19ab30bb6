-- Question: who answered or picked a post since a time, or took that back?
-- Reads: interactions, taken_back
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :since_us
-- Units: microseconds since 1970 (UTC)
SELECT viewer_did
FROM interactions
WHERE received_us > :since_us AND event IN ('requestLess', 'requestMore', 'pick')
UNION
SELECT viewer_did
FROM taken_back
WHERE received_us > :since_us
