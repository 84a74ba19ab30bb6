-- Question: which fallback lists name a post twice?
-- Reads: fallbacks
-- Writes: nothing; returns the offending rows
-- Grain: one row a (language, post)
-- Parameters: none
-- Units: none

SELECT language, post_no, count(*) AS times
FROM fallbacks
GROUP BY language, post_no
HAVING count(*) > 1;
