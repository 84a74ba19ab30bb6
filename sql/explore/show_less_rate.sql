-- Question: how often do viewers answer a post with "show less" or "show more"?
-- Reads: first_impressions, answers_in
-- Writes: none
-- Grain: one row per (day of serving, source), newest first
-- Parameters: days = 7.0 (days back from now), feed = '' (record key of a feed; '' for all)
-- Units: only the first impression of a (feed, viewer, post) counts; rates are shares of impressions; days are UTC;
--   partial: the span or the store begins in that day, or it is not over. On a large store, choose fewer days
SET VARIABLE of_feed = any_feed(getvariable('feed'));

SELECT
  make_timestamp(f.served_us)::DATE AS day, source_name(f.source) AS source, count(*) AS impressions,
  count(*) FILTER (i.less) AS less, count(*) FILTER (i.more) AS more,
  count(*) FILTER (i.less) / count(*)::DOUBLE AS less_rate, count(*) FILTER (i.more) / count(*)::DOUBLE AS more_rate,
  is_partial(day = min(day) OVER (), day + INTERVAL 1 DAY) AS partial
FROM first_impressions(
  hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'), getvariable('of_feed')) AS f
LEFT JOIN answers_in(getvariable('of_feed')) AS i
  ON i.feed = f.feed AND i.viewer_did = f.viewer_did AND i.post_uri = f.post_uri
GROUP BY day, f.source
ORDER BY day DESC, source;
