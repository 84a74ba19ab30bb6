-- Question: which lists have positions other than 1, 2, 3 and so on, or more than list_length of them?
-- Reads: lists, fallbacks
-- Writes: nothing; returns the offending rows
-- Grain: one row a list
-- Parameters: list_length
-- Units: positions count from 1; a list is a viewer_id or a language. Bounds, sum and sum of squares are
--   compared with those of 1 .. n, which costs a tenth of counting distinct positions

WITH spans AS (
  SELECT
    viewer_id::VARCHAR AS list, min(position) AS first, max(position) AS last, count(*) AS n,
    sum(position) AS total, sum(position::BIGINT * position) AS squares
  FROM lists
  GROUP BY viewer_id
  UNION ALL
  SELECT language, min(position), max(position), count(*), sum(position), sum(position::BIGINT * position)
  FROM fallbacks
  GROUP BY language
)
SELECT list, first, last, n AS entries
FROM spans
WHERE first <> 1 OR last <> n OR n > getvariable('list_length')
  OR total <> n * (n + 1) // 2 OR squares <> n * (n + 1) * (2 * n + 1) // 6;
