-- Question: which interactions are too old to keep?
-- Reads: none
-- Writes: interactions
-- Grain: one row per (viewer, post, event), the oldest first
-- Parameters: :before_us, :rows (how many at most)
-- Units: microseconds since 1970 (UTC)
DELETE FROM interactions
WHERE (viewer_did, post_uri, event) IN (
  SELECT viewer_did, post_uri, event
  FROM interactions
  WHERE received_us < :before_us
  ORDER BY received_us
  LIMIT :rows
);
