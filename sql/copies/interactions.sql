-- Question: what did viewers do with posts?
-- Reads: store_rows (interactions of activity.sqlite)
-- Writes: none
-- Grain: one row per (viewer, post, event)
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT
  viewer_did::VARCHAR AS viewer_did, post_uri::VARCHAR AS post_uri, event::VARCHAR AS event,
  feed_rkey::VARCHAR AS feed_rkey, received_us::BIGINT AS received_us
FROM store_rows
