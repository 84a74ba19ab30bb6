-- Question: which lists are of accounts that were deleted? They go.
-- Reads: lists, feeds, temp.gone (viewer_id)
-- Writes: lists
-- Grain: one list
-- Parameters: none
-- Units: none

DELETE FROM lists
WHERE feed_id IN (SELECT feed_id FROM feeds)   -- so that the index serves
  AND viewer_id IN (SELECT viewer_id FROM temp.gone);
