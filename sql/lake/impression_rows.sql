-- Question: how is a day of impressions stored in the lake?
-- Reads: day_impressions (the day's rows of activity.sqlite's view impressions)
-- Writes: none
-- Grain: one row per post on a page, sorted by viewer, so that a viewer's rows compress and are read together
-- Parameters: none
-- Units: position counts from 1 in what the viewer was shown; source 1 is co-likers, 2 popular, 3 trial; served_us is
--   microseconds since 1970 (UTC)
SELECT
  viewer_did::VARCHAR AS viewer_did, post_uri::VARCHAR AS post_uri, feed_rkey::VARCHAR AS feed_rkey,
  generation::INTEGER AS generation, position::INTEGER AS position, source::INTEGER AS source,
  served_us::BIGINT AS served_us, variant::VARCHAR AS variant
FROM day_impressions
ORDER BY viewer_did, served_us, position;
