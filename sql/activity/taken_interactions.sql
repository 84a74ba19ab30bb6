-- Question: how many interactions of each taker are kept?
-- Reads: takers
-- Writes: none
-- Grain: one row per taker
-- Parameters: :is_known
-- Units: none
SELECT taker, sum(interactions)
FROM takers
WHERE is_known = :is_known
GROUP BY taker;
