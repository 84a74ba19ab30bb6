-- Question: what did viewers do with posts?
-- Reads: arrived (rows of activity.sqlite)
-- Writes: nothing; returns the rows
-- Grain: one row a (viewer, post, event)
-- Parameters: none
-- Units: microseconds since 1970 (UTC)

SELECT
  viewer_did::VARCHAR AS viewer_did, post_uri::VARCHAR AS post_uri, event::VARCHAR AS event,
  feed_rkey::VARCHAR AS feed_rkey, received_us::BIGINT AS received_us
FROM arrived
