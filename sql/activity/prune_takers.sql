-- Question: who has nothing here any more?
-- Reads: visits
-- Writes: takers
-- Grain: one row per viewer
-- Parameters: none
-- Units: none
DELETE FROM takers
WHERE interactions = 0 AND impressions = 0
  AND NOT EXISTS (SELECT 1 FROM visits AS v WHERE v.viewer_did = takers.viewer_did);
