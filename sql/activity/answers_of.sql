-- Question: what did some viewers do with posts since a time?
-- Reads: interactions. Grain: a viewer, post and event. Parameters: :dids JSON array, :since_us.
SELECT i.viewer_did, i.post_uri, i.event
FROM json_each(:dids) AS d
CROSS JOIN interactions AS i
WHERE i.viewer_did = d.value AND i.received_us > :since_us
