-- Question: what is a generation made of? (It is visible from here on.)
-- Reads: part.generations
-- Writes: generations
-- Grain: one row
-- Parameters: :generation
-- Units: none
INSERT OR REPLACE INTO generations (generation, snapshot_us, published_us, lists, items, feed, everybody)
SELECT generation, snapshot_us, published_us, lists, items, feed, everybody
FROM part.generations
WHERE generation = :generation;
