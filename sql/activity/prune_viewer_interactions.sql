-- Question: which of a viewer's interactions are beyond the number that is kept?
-- Reads: none
-- Writes: interactions
-- Grain: one row per (post, event)
-- Parameters: :viewer_did, :kept (how many of the newest stay)
-- Units: none
DELETE FROM interactions
WHERE viewer_did = :viewer_did
  AND (post_uri, event) IN (
    SELECT post_uri, event
    FROM interactions
    WHERE viewer_did = :viewer_did
    ORDER BY received_us DESC, post_uri, event
    LIMIT -1 OFFSET :kept
  );
