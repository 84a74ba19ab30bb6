-- Question: how much attention do all likers have together, as far as a run for everybody has told?
-- Reads: known_popular
-- Writes: crowd_worth. Grain: as in sql/batch/crowd_worth.sql. Parameters: none

CREATE OR REPLACE TABLE crowd_worth AS SELECT coalesce(max(worth), 0)::DOUBLE AS total FROM known_popular;
