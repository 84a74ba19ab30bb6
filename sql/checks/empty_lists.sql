-- Question: which lists have no entry from co-likers, so that the fallback list would serve as well?
-- Reads: lists
-- Writes: nothing; returns the offending rows
-- Grain: one row a list
-- Parameters: none
-- Units: none

SELECT viewer_id, count(*) AS entries
FROM lists
GROUP BY viewer_id
HAVING count(*) FILTER (WHERE source <> 2) = 0;
