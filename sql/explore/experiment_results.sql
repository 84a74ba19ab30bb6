-- Question: how do the variants of an experiment compare?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per variant
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts)
-- Units: rates are per first impression of a (viewer, post). _low and _high are bounds of 95 % confidence, clustered by
--   viewer. active_days is the mean number of days with an impression per viewer, which tells whether they return.
--   like_change is the like rate less that of EXPERIMENT/control: the variant differs when both bounds are on one side
--   of 0
WITH outcomes AS (
  SELECT * FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0))
), by_viewer AS (
  SELECT
    coalesce(variant, '') AS variant, viewer_did, count(*) AS n, count(*) FILTER (liked) AS likes,
    count(*) FILTER (less) AS less, count(DISTINCT make_timestamp(served_us)::DATE) AS days
  FROM outcomes
  GROUP BY 1, viewer_did
), rated AS (
  SELECT
    variant, count(*) AS viewers, sum(n)::BIGINT AS impressions, avg(days) AS active_days,
    sum(likes) / sum(n)::DOUBLE AS like_rate, sum(less) / sum(n)::DOUBLE AS less_rate
  FROM by_viewer
  GROUP BY variant
), spread AS (
  SELECT
    v.variant,
    1.96 * sqrt(sum(pow(v.likes - r.like_rate * v.n, 2)) * r.viewers / greatest(r.viewers - 1, 1))
      / r.impressions AS like_margin,
    1.96 * sqrt(sum(pow(v.less - r.less_rate * v.n, 2)) * r.viewers / greatest(r.viewers - 1, 1))
      / r.impressions AS less_margin,
    1.96 * sqrt(sum(pow(v.days - r.active_days, 2)) / greatest(r.viewers - 1, 1) / r.viewers) AS days_margin
  FROM by_viewer AS v
  JOIN rated AS r ON r.variant = v.variant
  GROUP BY v.variant, r.viewers, r.impressions
), bounded AS (
  SELECT * FROM rated JOIN spread USING (variant)
)
SELECT
  r.variant, r.viewers, r.impressions,
  r.active_days, greatest(r.active_days - r.days_margin, 0) AS active_days_low,
  r.active_days + r.days_margin AS active_days_high,
  r.like_rate, greatest(r.like_rate - r.like_margin, 0) AS like_rate_low, r.like_rate + r.like_margin AS like_rate_high,
  r.less_rate, greatest(r.less_rate - r.less_margin, 0) AS less_rate_low,
  r.less_rate + r.less_margin AS less_rate_high,
  r.like_rate - c.like_rate AS like_change,
  r.like_rate - c.like_rate - sqrt(pow(r.like_margin, 2) + pow(c.like_margin, 2)) AS like_change_low,
  r.like_rate - c.like_rate + sqrt(pow(r.like_margin, 2) + pow(c.like_margin, 2)) AS like_change_high
FROM bounded AS r
LEFT JOIN bounded AS c
  ON c.variant <> r.variant AND r.variant <> '' AND c.variant = string_split(r.variant, '/')[1] || '/control'
ORDER BY r.variant;
