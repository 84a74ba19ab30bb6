-- Question: which lists have positions other than 1, 2, 3 and so on, or more than list_length of them?
-- Reads: lists, fallbacks
-- Writes: none
-- Grain: one row per list at fault
-- Parameters: list_length
-- Units: a list is a viewer_id or a language. Comparing bounds, sum and sum of squares with those of 1 .. n costs a
--   tenth of counting distinct positions
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
