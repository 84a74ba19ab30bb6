-- Question: how different are the first pages of each feed from one another?
-- Reads: generations
-- Writes: none
-- Grain: one row per feed that has had a run for everybody
-- Parameters: none
-- Units: shares, as in sql/batch/first_pages.sql; the control's where an experiment goes on, for it is published last
SELECT feed, in_common, few_likers, under_hour, top_authors
FROM generations
WHERE generation IN (SELECT max(generation) FROM generations WHERE few_likers IS NOT NULL GROUP BY feed)
ORDER BY feed
