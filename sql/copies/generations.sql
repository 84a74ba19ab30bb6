-- Question: which generations were published in the last 30 days? The store itself keeps the newest alone.
-- Reads: arrived (rows of serving.sqlite), former (the copy being replaced)
-- Writes: nothing; returns the rows
-- Grain: one row a generation
-- Parameters: none
-- Units: microseconds since 1970 (UTC). Numbers begin again when serving.sqlite was deleted; then the former
--   ones of the same number go

SELECT
  generation::INTEGER AS generation, snapshot_us::BIGINT AS snapshot_us, published_us::BIGINT AS published_us,
  lists::BIGINT AS lists, items::BIGINT AS items
FROM arrived
UNION ALL
SELECT generation::INTEGER, snapshot_us::BIGINT, published_us::BIGINT, lists::BIGINT, items::BIGINT
FROM former
WHERE generation < (SELECT min(generation) FROM arrived)
  AND published_us < (SELECT min(published_us) FROM arrived)
  AND published_us > (SELECT max(published_us) FROM arrived) - 30 * 86400000000
ORDER BY generation
