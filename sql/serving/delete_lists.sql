-- Question: which lists belong to deleted accounts?
-- Reads: feeds, temp.deleted
-- Writes: lists
-- Grain: one row per list
-- Parameters: none
-- Units: none
DELETE FROM lists
WHERE feed_id IN (SELECT feed_id FROM feeds)   -- so that the index serves
  AND viewer_id IN (SELECT viewer_id FROM temp.deleted);
