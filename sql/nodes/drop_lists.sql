-- Question: which lists does a node not need any more, as a part with all lists says?
-- Reads: part.viewers, main.lists
-- Writes: lists
-- Grain: one row per list
-- Parameters: :generation (the newest of the part), :shards (how many), :remainder (of the shard's buckets)
-- Units: none
DELETE FROM lists
WHERE generation <= :generation
  AND (
    NOT EXISTS (
      SELECT 1 FROM part.viewers AS p
      WHERE p.viewer_id = lists.viewer_id AND p.bucket % :shards = :remainder)
    OR EXISTS (
      SELECT 1 FROM main.lists AS newer
      WHERE newer.feed_id = lists.feed_id
        AND newer.viewer_id = lists.viewer_id
        AND newer.generation > lists.generation
        AND newer.generation <= :generation));
