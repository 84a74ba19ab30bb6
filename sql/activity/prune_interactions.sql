-- Question: which interactions are too old? They are forgotten, the oldest first.
-- Reads, Writes: interactions.
-- Parameters: :before_us microseconds since 1970, :rows how many at most.
DELETE FROM interactions
WHERE (viewer_did, post_uri, event) IN (
  SELECT viewer_did, post_uri, event
  FROM interactions
  WHERE received_us < :before_us
  ORDER BY received_us
  LIMIT :rows
);
