-- Question: what does each variant of an experiment change, is the change sure, and how small a change could be seen?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per variant besides the control, and metric: the goal first, then the guards
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts), effect
--   = 0.1 (change that matters, as a share of the control's value), feed = '' (record key of a feed; '' for all)
-- Units: like_rate is of ripe impressions, less_rate of all; active_days and impressions are per viewer. viewers are
--   those who count for the metric. change is the value less the control's. low and high are bounds of 95 % confidence
--   for who looks once, safe_low and safe_high for who looks as often as they like (viewers are independent in both).
--   detectable is the smallest change that so many viewers show in four of five cases; viewers_needed is how many in
--   each of the two would show the effect. Empty with one viewer, or without differences between viewers. On a large
--   store, choose fewer days
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH outcomes AS (
  SELECT * FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0), getvariable('of_feed'))
  WHERE variant <> ''
), by_viewer AS (
  SELECT
    feed, variant, viewer_did, count(*) AS shown, count(*) FILTER (ripe) AS ripe,
    count(*) FILTER (ripe AND liked) AS likes, count(*) FILTER (less) AS less,
    count(DISTINCT make_timestamp(served_us)::DATE) AS days
  FROM outcomes
  GROUP BY feed, variant, viewer_did
), measured AS (  -- of each viewer: k of n
  SELECT feed, variant, 1 AS place, 'like_rate' AS metric, likes AS k, ripe AS n FROM by_viewer WHERE ripe > 0
  UNION ALL
  SELECT feed, variant, 2, 'less_rate', less, shown FROM by_viewer
  UNION ALL
  SELECT feed, variant, 3, 'active_days', days, 1 FROM by_viewer
  UNION ALL
  SELECT feed, variant, 4, 'impressions', shown, 1 FROM by_viewer
), totals AS (
  SELECT
    feed, variant, place, metric, count(*) AS viewers, sum(k) / sum(n)::DOUBLE AS value,
    -- of a ratio of two sums over independent viewers, each viewer's distance from it
    CASE WHEN count(*) > 1 THEN
      (sum(k * k) - 2 * (sum(k) / sum(n)::DOUBLE) * sum(k * n) + pow(sum(k) / sum(n)::DOUBLE, 2) * sum(n * n))
      * count(*) / (count(*) - 1) / pow(sum(n), 2) END AS variance
  FROM measured
  GROUP BY feed, variant, place, metric
), compared AS (
  SELECT
    v.feed, v.variant, v.place, v.metric, v.viewers, v.value, c.value AS control, v.value - c.value AS change,
    CASE WHEN v.variance + c.variance > 1e-20 THEN v.variance + c.variance END AS variance,
    v.variance * v.viewers + c.variance * c.viewers AS spread,
    coalesce(getvariable('effect'), 0.1) * c.value AS effect
  FROM totals AS v
  JOIN totals AS c
    ON c.feed = v.feed AND c.metric = v.metric AND c.variant = string_split(v.variant, '/')[1] || '/control'
  WHERE v.variant <> c.variant
)
SELECT
  feed, variant, metric, viewers, value, control, change,
  change - 1.96 * sqrt(variance) AS low, change + 1.96 * sqrt(variance) AS high,
  change - safe_margin(variance, effect) AS safe_low, change + safe_margin(variance, effect) AS safe_high,
  2.8 * sqrt(variance) AS detectable,
  CASE WHEN variance > 0 AND effect > 0 THEN ceil(pow(2.8, 2) * spread / pow(effect, 2))::BIGINT END AS viewers_needed
FROM compared
ORDER BY feed, variant, place;
