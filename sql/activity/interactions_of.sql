-- Question: what did a viewer ask for and see lately?
-- Reads: interactions
-- Writes: none
-- Grain: one row per (post, event), the latest first of each; a "show less" before any post that was only seen
-- Parameters: :viewer_did, :since_us, :rows (how many at most)
-- Units: microseconds since 1970 (UTC)
SELECT post_uri, event, received_us
FROM interactions
WHERE viewer_did = :viewer_did AND received_us >= :since_us
ORDER BY event = 'interactionSeen', received_us DESC -- posts seen are many, and must not push out a "show less"
LIMIT :rows;
