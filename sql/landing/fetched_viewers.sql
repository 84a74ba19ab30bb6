-- Question: whose likes were fetched from their repository since a time?
-- Reads: fetched_viewers
-- Writes: none
-- Grain: one row per viewer
-- Parameters: :since_us
-- Units: microseconds since 1970 (UTC)
SELECT did AS viewer_did
FROM fetched_viewers
WHERE fetched_us > :since_us AND likes > 0 AND outcome <> 'enough'
