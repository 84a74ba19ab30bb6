-- Question: in which languages did some viewers request a feed, and when last?
-- Reads: visits
-- Writes: none
-- Grain: one row per (viewer, feed)
-- Parameters: :dids (JSON array)
-- Units: microseconds since 1970 (UTC)
SELECT v.viewer_did, v.languages, v.last_us
FROM json_each(:dids) AS d
CROSS JOIN visits AS v
WHERE v.viewer_did = d.value
