-- Question: which viewers have no list any more?
-- Reads: viewers, lists
-- Writes: viewers
-- Grain: one viewer
-- Parameters: none
-- Units: none

DELETE FROM viewers
WHERE viewer_id NOT IN (SELECT viewer_id FROM lists);
