-- Question: what does each crowd, everybody's and each language's, recommend, and with what share?
-- Reads: popular, list_viewers, fresh_likes
-- Writes: crowds
-- Grain: one row a (viewer's language, post of the list that serves it): that language's, else all languages'
-- Parameters: fallback_smoothing
-- Units: share = the post's score in popular.sql / the sum of all likers' worth there: about how much of the average
--   liker's attention the post has

CREATE OR REPLACE TABLE crowds AS
WITH likers AS (
  SELECT 1 / sqrt(count(*) + getvariable('fallback_smoothing')) AS worth FROM fresh_likes GROUP BY liker_id
), served AS (
  SELECT l.language, coalesce(p.language, '') AS list
  FROM (SELECT DISTINCT language FROM list_viewers) AS l
  LEFT JOIN (SELECT DISTINCT language FROM popular) AS p ON p.language = l.language
)
SELECT s.language, p.post_no, p.score::DOUBLE / (SELECT sum(worth) FROM likers) AS share
FROM served AS s
JOIN popular AS p ON p.language = s.list;
