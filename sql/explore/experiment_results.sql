-- Question: how do the variants of an experiment compare?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per variant
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts), feed
--   = '' (record key of a feed; '' for all)
-- Units: rates are per first impression of a (feed, viewer, post). ripe: impressions whose within_hours are over;
--   like_rate is of these, less_rate of all. _low and _high are bounds of 95 % confidence, clustered by viewer (rates:
--   Wilson); empty with one viewer, or where all viewers have the same number of days. active_days is the mean number
--   of days with an impression per viewer, which tells whether they return. like_change is the like rate less that of
--   EXPERIMENT/control: the variant differs when both bounds are on one side of 0. On a large store, choose fewer days
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH outcomes AS (
  SELECT * FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0), getvariable('of_feed'))
), by_viewer AS (
  SELECT
    coalesce(variant, '') AS variant, viewer_did, count(*) AS n, count(*) FILTER (ripe) AS ripe,
    count(*) FILTER (ripe AND liked) AS likes, count(*) FILTER (less) AS less,
    count(DISTINCT make_timestamp(served_us)::DATE) AS days
  FROM outcomes
  GROUP BY 1, viewer_did
), rated AS (
  SELECT
    variant, count(*) AS viewers, sum(n)::BIGINT AS impressions, sum(ripe)::BIGINT AS ripe, avg(days) AS active_days,
    CASE WHEN count(*) > 1 THEN nullif(1.96 * sqrt(var_samp(days) / count(*)), 0) END AS days_margin,
    CASE WHEN sum(ripe) > 0 THEN sum(likes) / sum(ripe)::DOUBLE END AS like_rate,
    trials_of(
      sum(likes), sum(ripe), sum(likes * likes), sum(likes * ripe), sum(ripe * ripe), count(*) FILTER (ripe > 0)
    ) AS like_trials,
    sum(less) / sum(n)::DOUBLE AS less_rate,
    trials_of(sum(less), sum(n), sum(less * less), sum(less * n), sum(n * n), count(*)) AS less_trials
  FROM by_viewer
  GROUP BY variant
), bounded AS (
  SELECT
    *, wilson_low(like_rate, like_trials) AS like_low, wilson_high(like_rate, like_trials) AS like_high
  FROM rated
)
SELECT
  r.variant, r.viewers, r.impressions, r.ripe,
  r.active_days, CASE WHEN r.days_margin > 0 THEN greatest(r.active_days - r.days_margin, 0) END AS active_days_low,
  r.active_days + r.days_margin AS active_days_high,
  r.like_rate, r.like_low AS like_rate_low, r.like_high AS like_rate_high,
  r.less_rate, wilson_low(r.less_rate, r.less_trials) AS less_rate_low,
  wilson_high(r.less_rate, r.less_trials) AS less_rate_high,
  r.like_rate - c.like_rate AS like_change,
  -- Newcombe: each bound by the distances of the two rates' own bounds
  r.like_rate - c.like_rate - sqrt(pow(r.like_rate - r.like_low, 2) + pow(c.like_high - c.like_rate, 2))
    AS like_change_low,
  r.like_rate - c.like_rate + sqrt(pow(r.like_high - r.like_rate, 2) + pow(c.like_rate - c.like_low, 2))
    AS like_change_high
FROM bounded AS r
LEFT JOIN bounded AS c
  ON c.variant <> r.variant AND r.variant <> '' AND c.variant = string_split(r.variant, '/')[1] || '/control'
ORDER BY r.variant;
