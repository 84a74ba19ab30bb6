-- Question: what is a generation made of? (It is visible from here on.)
-- Reads: part.generations
-- Writes: generations
-- Grain: one row
-- Parameters: :generation
-- Units: none
INSERT OR REPLACE INTO generations (
  generation, snapshot_us, published_us, lists, items, feed, everybody, in_common, few_likers, under_hour, top_authors)
SELECT
  generation, snapshot_us, published_us, lists, items, feed, everybody, in_common, few_likers, under_hour, top_authors
FROM part.generations
WHERE generation = :generation;
