-- Question: how many viewers were served, and how much did each see?
-- Reads: impressions
-- Writes: none
-- Grain: one row per day, newest first
-- Parameters: days = 14.0 (days back from now), feed = '' (record key of a feed; '' for all)
-- Units: impressions are posts on pages; deepest is the mean of each viewer's deepest place; days are UTC;
--   partial: the span or the store begins in that day, or it is not over
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH by_viewer AS (
  SELECT served_at::DATE AS day, viewer_did, count(*) AS impressions, max(rank) AS deepest
  FROM impressions
  WHERE served_at > make_timestamp(hours_ago(24 * coalesce(getvariable('days'), 14.0)))
    AND served_at <= make_timestamp(getvariable('now_us'))
    AND getvariable('of_feed') IN ('', feed)
  GROUP BY day, viewer_did
)
SELECT
  day, count(*) AS viewers, sum(impressions)::BIGINT AS impressions,
  avg(impressions) AS impressions_per_viewer, avg(deepest) AS deepest,
  is_partial(day = min(day) OVER (), day + INTERVAL 1 DAY) AS partial
FROM by_viewer
GROUP BY day
ORDER BY day DESC;
