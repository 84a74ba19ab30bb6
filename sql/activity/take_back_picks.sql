-- Question: which picks does a viewer take back, who takes all of them back?
-- Reads: none
-- Writes: interactions
-- Grain: one row per pick
-- Parameters: :viewer_did
-- Units: none
DELETE FROM interactions
WHERE viewer_did = :viewer_did AND event = 'pick'
