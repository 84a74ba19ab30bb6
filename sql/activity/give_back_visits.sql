-- Question: which visits does a taker lose who has too many?
-- Reads: takers
-- Writes: visits
-- Grain: one row per (viewer, feed), the oldest first
-- Parameters: :taker, :is_known, :rows (how many)
-- Units: none
DELETE FROM visits
WHERE (viewer_did, feed_rkey) IN (
  SELECT v.viewer_did, v.feed_rkey
  FROM takers AS t
  CROSS JOIN visits AS v
  WHERE t.taker = :taker AND t.is_known = :is_known AND v.viewer_did = t.viewer_did
  ORDER BY v.last_us
  LIMIT :rows
);
