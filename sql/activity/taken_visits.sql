-- Question: how many visits of each taker are kept?
-- Reads: takers, visits
-- Writes: none
-- Grain: one row per taker
-- Parameters: :is_known
-- Units: none
SELECT t.taker, count(*)
FROM takers AS t
CROSS JOIN visits AS v
WHERE t.is_known = :is_known AND v.viewer_did = t.viewer_did
GROUP BY t.taker;
