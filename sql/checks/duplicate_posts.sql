-- Question: which lists name a post twice?
-- Reads: lists
-- Writes: none
-- Grain: one row per (viewer, post) at fault
-- Parameters: none
-- Units: none
SELECT viewer_id, post_no, count(*) AS times
FROM lists
GROUP BY viewer_id, post_no
HAVING count(*) > 1;
