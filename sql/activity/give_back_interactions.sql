-- Question: which interactions does a taker lose who has too many?
-- Reads: takers
-- Writes: interactions
-- Grain: one row per (viewer, post, event), the oldest first
-- Parameters: :taker, :is_known, :rows (how many)
-- Units: none
DELETE FROM interactions
WHERE (viewer_did, post_uri, event) IN (
  SELECT i.viewer_did, i.post_uri, i.event
  FROM takers AS t
  CROSS JOIN interactions AS i
  WHERE t.taker = :taker AND t.is_known = :is_known AND i.viewer_did = t.viewer_did
  ORDER BY i.received_us
  LIMIT :rows
);
