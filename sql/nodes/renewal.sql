-- Question: how far has the last run for everybody come that wrote taste sketches, communities or its end?
-- Reads: head.runs
-- Writes: none
-- Grain: one row
-- Parameters: none
-- Units: it changes whenever one of these was written
SELECT coalesce(max(run_id), 0) || '.' || count(*)
FROM head.runs
WHERE outcome = 'done' AND step IN ('taste sketches', 'communities', 'prune generations')
