-- Question: which lists name a post twice?
-- Reads: lists
-- Writes: nothing; returns the offending rows
-- Grain: one row a (viewer, post)
-- Parameters: none
-- Units: none

SELECT viewer_id, post_no, count(*) AS times
FROM lists
GROUP BY viewer_id, post_no
HAVING count(*) > 1;
