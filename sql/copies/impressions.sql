-- Question: what was served, of the days that are not in the lake yet?
-- Reads: store_rows (impressions of activity.sqlite)
-- Writes: none
-- Grain: one row per post on a page
-- Parameters: none
-- Units: position counts from 1 in the list; served_us is microseconds since 1970 (UTC)
SELECT
  viewer_did::VARCHAR AS viewer_did, post_uri::VARCHAR AS post_uri, feed_rkey::VARCHAR AS feed_rkey,
  generation::INTEGER AS generation, position::INTEGER AS position, source::INTEGER AS source,
  served_us::BIGINT AS served_us, variant::VARCHAR AS variant
FROM store_rows
