-- Question: to which posts did a viewer answer "show less" or "show more"?
-- Reads: interactions
-- Writes: none
-- Grain: one row per answer, the last first
-- Parameters: :viewer_did, :rows (how many at most)
-- Units: microseconds since 1970 (UTC)
SELECT event, post_uri, received_us
FROM interactions
WHERE viewer_did = :viewer_did AND event IN ('requestLess', 'requestMore')
ORDER BY received_us DESC, post_uri
LIMIT :rows
