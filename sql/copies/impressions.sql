-- Question: what was served today, and is not in the lake yet?
-- Reads: arrived (rows of activity.sqlite)
-- Writes: nothing; returns the rows
-- Grain: one row a post on a page that was served
-- Parameters: none
-- Units: position counts from 1 in the list; served_us is microseconds since 1970 (UTC)

SELECT
  viewer_did::VARCHAR AS viewer_did, post_uri::VARCHAR AS post_uri, feed_rkey::VARCHAR AS feed_rkey,
  generation::INTEGER AS generation, position::INTEGER AS position, source::INTEGER AS source,
  served_us::BIGINT AS served_us, variant::VARCHAR AS variant
FROM arrived
