-- Question: which generations were published in the last 30 days? The store itself keeps only the newest.
-- Reads: store_rows (generations of serving.sqlite), previous_copy (the copy to replace)
-- Writes: none
-- Grain: one row per generation. A deleted serving.sqlite counts from 1 again: then the previous ones of the same
--   numbers are dropped
-- Parameters: none
-- Units: microseconds since 1970 (UTC); feed and everybody are NULL where a run of an earlier version published it
WITH present AS (
  FROM store_rows
  UNION ALL BY NAME
  SELECT
    NULL::VARCHAR AS feed, NULL::INTEGER AS everybody, NULL::DOUBLE AS in_common, NULL::DOUBLE AS few_likers,
    NULL::DOUBLE AS under_hour, NULL::DOUBLE AS top_authors
  WHERE false
)
SELECT
  generation::INTEGER AS generation, snapshot_us::BIGINT AS snapshot_us, published_us::BIGINT AS published_us,
  lists::BIGINT AS lists, items::BIGINT AS items, feed::VARCHAR AS feed, everybody::BOOLEAN AS everybody,
  in_common::DOUBLE AS in_common, few_likers::DOUBLE AS few_likers, under_hour::DOUBLE AS under_hour,
  top_authors::DOUBLE AS top_authors
FROM present
UNION ALL BY NAME
SELECT * REPLACE (generation::INTEGER AS generation)
FROM previous_copy
WHERE generation < (SELECT min(generation) FROM store_rows)
  AND published_us < (SELECT min(published_us) FROM store_rows)
  AND published_us > (SELECT max(published_us) FROM store_rows) - 30 * 86400000000
ORDER BY generation
