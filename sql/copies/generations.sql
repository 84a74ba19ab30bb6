-- Question: which generations were published in the last 30 days? The store itself keeps only the newest.
-- Reads: store_rows (generations of serving.sqlite), previous_copy (the copy to replace)
-- Writes: none
-- Grain: one row per generation. A deleted serving.sqlite counts from 1 again: then the previous ones of the same
--   numbers are dropped
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT
  generation::INTEGER AS generation, snapshot_us::BIGINT AS snapshot_us, published_us::BIGINT AS published_us,
  lists::BIGINT AS lists, items::BIGINT AS items
FROM store_rows
UNION ALL
SELECT generation::INTEGER, snapshot_us::BIGINT, published_us::BIGINT, lists::BIGINT, items::BIGINT
FROM previous_copy
WHERE generation < (SELECT min(generation) FROM store_rows)
  AND published_us < (SELECT min(published_us) FROM store_rows)
  AND published_us > (SELECT max(published_us) FROM store_rows) - 30 * 86400000000
ORDER BY generation
