-- Question: which fallback lists name a post twice?
-- Reads: fallbacks
-- Writes: none
-- Grain: one row per (language, post) at fault
-- Parameters: none
-- Units: none
SELECT language, post_no, count(*) AS times
FROM fallbacks
GROUP BY language, post_no
HAVING count(*) > 1;
