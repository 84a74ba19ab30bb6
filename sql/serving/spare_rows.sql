-- Question: which rows of these viewers can a new list take? (Of a reader, a row that no kept generation uses; of
--   others, any.)
-- Reads: lists, temp.readers
-- Writes: none
-- Grain: one row per viewer who has such a row, the oldest
-- Parameters: :feed_id, :viewers (JSON array of viewer_id), :oldest_kept
-- Units: generations
SELECT viewer_id, min(generation) AS generation
FROM lists AS l
WHERE feed_id = :feed_id
  AND viewer_id IN (SELECT value FROM json_each(:viewers))
  AND (
    viewer_id NOT IN (SELECT viewer_id FROM temp.readers)
    OR EXISTS (
      SELECT 1 FROM lists AS newer
      WHERE newer.feed_id = l.feed_id
        AND newer.viewer_id = l.viewer_id
        AND newer.generation > l.generation
        AND newer.generation <= :oldest_kept))
GROUP BY viewer_id;
