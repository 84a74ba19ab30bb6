-- Question: which posts does each language's crowd recommend, and with what share?
-- Reads: popular, list_viewers, crowd_shares
-- Writes: crowds
-- Grain: one row per (viewers' language, post), from that language's popular posts or else from all
-- Parameters: none
-- Units: share as in crowd_shares
-- Columns: language, post_no, share FLOAT
CREATE OR REPLACE TABLE crowds AS
WITH served AS (
  SELECT l.language, coalesce(p.language, '') AS list
  FROM (SELECT DISTINCT language FROM list_viewers) AS l
  LEFT JOIN (SELECT DISTINCT language FROM popular) AS p ON p.language = l.language
)
SELECT s.language, p.post_no, c.share
FROM served AS s
JOIN popular AS p ON p.language = s.list
JOIN crowd_shares AS c ON c.post_no = p.post_no;
