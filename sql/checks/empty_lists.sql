-- Question: which lists have no entry from co-likers, so that the fallback list would serve as well?
-- Reads: lists
-- Writes: none
-- Grain: one row per list at fault
-- Parameters: none
-- Units: source 2 is popular
SELECT viewer_id, count(*) AS entries
FROM lists
GROUP BY viewer_id
HAVING count(*) FILTER (WHERE source <> 2) = 0;
