-- Question: what did some viewers do with posts since a time?
-- Reads: interactions
-- Writes: none
-- Grain: one row per (viewer, post, event)
-- Parameters: :dids (JSON array), :since_us
-- Units: microseconds since 1970 (UTC)
SELECT i.viewer_did, i.post_uri, i.event
FROM json_each(:dids) AS d
CROSS JOIN interactions AS i
WHERE i.viewer_did = d.value AND i.received_us > :since_us
