-- Question: does a viewer who was forgotten have anything here any more?
-- Reads: visits, interactions, impression_pages
-- Writes: takers
-- Grain: one row at most
-- Parameters: :viewer_did
-- Units: none
DELETE FROM takers
WHERE viewer_did = :viewer_did
  AND NOT EXISTS (SELECT 1 FROM visits AS v WHERE v.viewer_did = takers.viewer_did)
  AND NOT EXISTS (SELECT 1 FROM interactions AS i WHERE i.viewer_did = takers.viewer_did)
  AND NOT EXISTS (SELECT 1 FROM impression_pages AS p WHERE p.viewer_did = takers.viewer_did)
