-- Question: how often do viewers answer a post with "show less" or "show more"?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per (day of serving, source), newest first
-- Parameters: days = 7.0 (days back from now), feed = '' (record key of a feed; '' for all)
-- Units: only the first impression of a (feed, viewer, post) counts; rates are shares of impressions; days are UTC;
--   partial: the span or the store begins in that day, or it is not over. On a large store, choose fewer days
SET VARIABLE of_feed = any_feed(getvariable('feed'));

SELECT
  make_timestamp(served_us)::DATE AS day, source, count(*) AS impressions,
  count(*) FILTER (less) AS less, count(*) FILTER (more) AS more,
  count(*) FILTER (less) / count(*)::DOUBLE AS less_rate, count(*) FILTER (more) / count(*)::DOUBLE AS more_rate,
  is_partial(day = min(day) OVER (), day + INTERVAL 1 DAY) AS partial
FROM outcomes_between(
  hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'), 24.0, getvariable('of_feed'))
GROUP BY day, source
ORDER BY day DESC, source;
