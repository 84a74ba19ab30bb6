-- Question: which variant of an experiment made the lists of a generation?
-- Reads: variants
-- Writes: none
-- Grain: one row or none
-- Parameters: :generation
-- Units: none
SELECT variant FROM variants WHERE generation = :generation;
