-- Question: whose likes were fetched from their repository since a time?
-- Reads: fetched_viewers. Grain: one viewer. Parameters: :since_us microseconds since 1970.
SELECT did AS viewer_did
FROM fetched_viewers
WHERE fetched_us > :since_us AND likes > 0 AND outcome <> 'enough'
