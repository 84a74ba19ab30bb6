-- Question: how often is a viewer served a post again?
-- Reads: impressions
-- Writes: none
-- Grain: one row per day, newest first
-- Parameters: days = 7.0 (days back from now; repeats of anything served before then are not counted), feed = ''
--   (record key of a feed; '' for all)
-- Units: repeats are impressions of a (feed, viewer, post) after the first in the span; days are UTC; partial: the
--   span or the store begins in that day, or it is not over
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH numbered AS (
  SELECT
    viewer_did, served_at::DATE AS day,
    row_number() OVER (PARTITION BY feed, viewer_did, post_uri ORDER BY served_at) > 1 AS again
  FROM impressions
  WHERE served_at > make_timestamp(hours_ago(24 * coalesce(getvariable('days'), 7.0)))
    AND served_at <= make_timestamp(getvariable('now_us'))
    AND getvariable('of_feed') IN ('', feed)
)
SELECT
  day, count(DISTINCT viewer_did) AS viewers, count(*) AS impressions, count(*) FILTER (again) AS repeats,
  count(*) FILTER (again) / count(*)::DOUBLE AS repeat_rate,
  is_partial(day = min(day) OVER (), day + INTERVAL 1 DAY) AS partial
FROM numbered
GROUP BY day
ORDER BY day DESC;
