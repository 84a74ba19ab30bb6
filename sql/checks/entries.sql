-- Question: which entries have a score that is no positive number, or a source that their co-likers belie?
-- Reads: lists
-- Writes: nothing; returns the offending rows
-- Grain: one row a list entry
-- Parameters: none
-- Units: source 1 is co-likers, 2 is popular, 3 is co-likers, tried before its turn

SELECT viewer_id, position, score, co_likers, source
FROM lists
WHERE score IS NULL OR NOT isfinite(score) OR score <= 0
  OR source NOT IN (1, 2, 3) OR (source = 2) <> (co_likers = 0);
