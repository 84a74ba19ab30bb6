-- Question: what did some viewers answer and pick since a time, and what else did they do with posts that are still listed?
-- Reads: interactions
-- Writes: none
-- Grain: one row per (viewer, post, event)
-- Parameters: :dids (JSON array), :since_us, :created_us (older posts are not listed)
-- Units: microseconds since 1970 (UTC)
SELECT i.viewer_did, i.post_uri, i.event
FROM json_each(:dids) AS d
CROSS JOIN interactions AS i
WHERE i.viewer_did = d.value AND i.received_us > :since_us
  AND (i.received_us > :created_us OR i.event IN ('requestLess', 'requestMore', 'pick'))
