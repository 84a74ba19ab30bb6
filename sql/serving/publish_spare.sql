-- Question: which rows of these viewers does no kept generation use any more, so that a new list can take their place?
-- Reads: lists
-- Writes: nothing
-- Grain: one row a viewer who has such a row, the oldest
-- Parameters: :feed_id, :viewers JSON array of viewer_id, :oldest_kept
-- Units: none

SELECT viewer_id, min(generation) AS generation
FROM lists AS l
WHERE feed_id = :feed_id
  AND viewer_id IN (SELECT value FROM json_each(:viewers))
  AND generation < :oldest_kept
  AND EXISTS (
    SELECT 1 FROM lists AS newer
    WHERE newer.feed_id = l.feed_id
      AND newer.viewer_id = l.viewer_id
      AND newer.generation > l.generation
      AND newer.generation <= :oldest_kept)
GROUP BY viewer_id;
