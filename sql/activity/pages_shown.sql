-- Question: what was a viewer shown, of the days that are not in the lake yet?
-- Reads: impressions
-- Writes: none
-- Grain: one row per post on a page, in the order shown
-- Parameters: :viewer_did
-- Units: microseconds since 1970 (UTC)
SELECT post_uri, feed_rkey, generation, position, source, served_us, variant
FROM impressions
WHERE viewer_did = :viewer_did
ORDER BY served_us, position
