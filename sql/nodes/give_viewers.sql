-- Question: whose lists are in a part?
-- Reads: lists, head.viewers
-- Writes: viewers
-- Grain: one row per viewer
-- Parameters: none
-- Units: none
INSERT INTO viewers (viewer_id, did, bucket)
SELECT v.viewer_id, v.did, l.bucket
FROM (SELECT DISTINCT viewer_id, bucket FROM lists) AS l
CROSS JOIN head.viewers AS v ON v.viewer_id = l.viewer_id;
