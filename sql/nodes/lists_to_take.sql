-- Question: which lists of a shard does a part have of a generation, that are not here?
-- Reads: part.lists, main.lists
-- Writes: none
-- Grain: one row per list
-- Parameters: :generation, :shards (how many), :remainder (of the shard's buckets)
-- Units: items as in sql/serving/0001_schema.sql
SELECT p.feed_id, p.viewer_id, p.items
FROM part.lists AS p
WHERE p.generation = :generation AND p.bucket % :shards = :remainder
  AND NOT EXISTS (
    SELECT 1 FROM main.lists AS l
    WHERE l.feed_id = p.feed_id AND l.viewer_id = p.viewer_id AND l.generation = p.generation);
