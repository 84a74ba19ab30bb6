-- Question: which superseded lists of these viewers does no reader hold?
-- Reads: feeds, temp.readers
-- Writes: lists
-- Grain: one row per list
-- Parameters: :viewers (JSON array of viewer_id), :oldest_kept, :newest
-- Units: generations
DELETE FROM lists
WHERE feed_id IN (SELECT feed_id FROM feeds)   -- so that the index serves
  AND viewer_id IN (SELECT value FROM json_each(:viewers))
  AND EXISTS (
    SELECT 1 FROM lists AS newer
    WHERE newer.feed_id = lists.feed_id
      AND newer.viewer_id = lists.viewer_id
      AND newer.generation > lists.generation
      AND newer.generation <= iif(lists.viewer_id IN (SELECT viewer_id FROM temp.readers), :oldest_kept, :newest));
