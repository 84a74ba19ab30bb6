-- Question: does a viewer who was forgotten have anything here any more?
-- Reads: visits
-- Writes: takers
-- Grain: one row at most
-- Parameters: :viewer_did
-- Units: none
DELETE FROM takers
WHERE viewer_did = :viewer_did AND interactions = 0 AND impressions = 0
  AND NOT EXISTS (SELECT 1 FROM visits AS v WHERE v.viewer_did = takers.viewer_did)
