-- Question: which lists belong to deleted accounts? They are deleted.
-- Reads: lists, feeds, temp.deleted (viewer_id)
-- Writes: lists
-- Grain: one list
-- Parameters: none
-- Units: none

DELETE FROM lists
WHERE feed_id IN (SELECT feed_id FROM feeds)   -- so that the index serves
  AND viewer_id IN (SELECT viewer_id FROM temp.deleted);
