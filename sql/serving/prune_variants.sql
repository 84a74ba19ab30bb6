-- Question: which variants' generations are no more?
-- Reads: variants, generations
-- Writes: variants
-- Grain: one generation
-- Parameters: none
-- Units: none

DELETE FROM variants WHERE generation NOT IN (SELECT generation FROM generations);
