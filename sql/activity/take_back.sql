-- Question: which answers to a post, or which pick of it, does a viewer take back?
-- Reads: none
-- Writes: interactions
-- Grain: one row per answer
-- Parameters: :viewer_did, :post_uri
-- Units: none
DELETE FROM interactions
WHERE viewer_did = :viewer_did AND post_uri = :post_uri AND event IN ('requestLess', 'requestMore', 'pick')
