-- Question: which posts did a viewer pick to begin with?
-- Reads: interactions
-- Writes: none
-- Grain: one row per post, the last first
-- Parameters: :viewer_did
-- Units: microseconds since 1970 (UTC)
SELECT post_uri, received_us
FROM interactions
WHERE viewer_did = :viewer_did AND event = 'pick'
ORDER BY received_us DESC, post_uri
