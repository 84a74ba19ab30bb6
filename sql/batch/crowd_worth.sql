-- Question: how much attention do all likers have together, as popular.sql counts it?
-- Reads: crowd_likers
-- Writes: crowd_worth
-- Grain: one row
-- Parameters: none
-- Units: total = the sum over likers of their worth

CREATE OR REPLACE TABLE crowd_worth AS
SELECT coalesce(sum(worth), 0)::DOUBLE AS total FROM crowd_likers;
