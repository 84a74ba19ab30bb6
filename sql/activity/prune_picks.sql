-- Question: which of a viewer's picks are beyond the number that is kept?
-- Reads: none
-- Writes: interactions
-- Grain: one row per post
-- Parameters: :viewer_did, :kept (how many of the newest stay)
-- Units: none
DELETE FROM interactions
WHERE viewer_did = :viewer_did AND event = 'pick'
  AND post_uri IN (
    SELECT post_uri
    FROM interactions
    WHERE viewer_did = :viewer_did AND event = 'pick'
    ORDER BY received_us DESC, post_uri
    LIMIT -1 OFFSET :kept)
