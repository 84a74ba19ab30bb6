-- Question: which keys are beyond the number that is kept?
-- Reads: none
-- Writes: keys
-- Grain: one row per viewer
-- Parameters: :kept (how many of the latest stay)
-- Units: none
DELETE FROM keys
WHERE fetched_us < (SELECT fetched_us FROM keys ORDER BY fetched_us DESC LIMIT 1 OFFSET :kept);
