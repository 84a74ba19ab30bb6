-- Question: who opened which feed, and how often?
-- Reads: store_rows (visits of activity.sqlite)
-- Writes: none
-- Grain: one row per (viewer, feed)
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT
  viewer_did::VARCHAR AS viewer_did, feed_rkey::VARCHAR AS feed_rkey, languages::VARCHAR AS languages,
  pages::BIGINT AS pages, first_us::BIGINT AS first_us, last_us::BIGINT AS last_us
FROM store_rows
