-- Question: what does each crowd, everybody's and each language's, recommend, and with what share?
-- Reads: popular, list_viewers, crowd_worth
-- Writes: crowds
-- Grain: one row a (viewer's language, post of the list that serves it): that language's, else all languages'
-- Parameters: none
-- Units: share = the post's score in popular.sql / the sum of all likers' worth: about how much of the average
--   liker's attention the post has

CREATE OR REPLACE TABLE crowds AS
WITH served AS (
  SELECT l.language, coalesce(p.language, '') AS list
  FROM (SELECT DISTINCT language FROM list_viewers) AS l
  LEFT JOIN (SELECT DISTINCT language FROM popular) AS p ON p.language = l.language
)
SELECT s.language, p.post_no, coalesce(p.score::DOUBLE / nullif(w.total, 0), 0) AS share
FROM served AS s
JOIN popular AS p ON p.language = s.list
CROSS JOIN crowd_worth AS w;
