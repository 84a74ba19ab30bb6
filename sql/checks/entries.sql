-- Question: which entries have a score that is not a positive number, or a source that contradicts their co-likers?
-- Reads: lists
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: none
-- Units: source 1 is co-likers, 2 popular, 3 trial: from co-likers, before its turn
SELECT viewer_id, position, score, co_likers, source
FROM lists
WHERE score IS NULL OR NOT isfinite(score) OR score <= 0
  OR source NOT IN (1, 2, 3) OR (source = 2) <> (co_likers = 0);
