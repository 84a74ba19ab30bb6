-- Question: by which variant of an experiment were the lists of a generation made?
-- Reads: variants. Grain: one row or none.
-- Parameters: :generation.
SELECT variant FROM variants WHERE generation = :generation;
