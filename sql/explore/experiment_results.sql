-- Question: how do the variants of an experiment compare?
-- Reads: outcomes_between
-- Grain: one row a variant
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (a like counts so long after serving)
-- Units: rates per impression (first ones of a (viewer, post)); low and high bound the rate with 95 %
--   confidence, clustered by viewer: a viewer's impressions are not independent. active_days is the mean of
--   days with an impression a viewer

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
      / r.impressions AS less_margin
  FROM by_viewer AS v
  JOIN rated AS r ON r.variant = v.variant
  GROUP BY v.variant, r.viewers, r.impressions
)
SELECT
  r.variant, r.viewers, r.impressions, r.active_days, r.like_rate,
  greatest(r.like_rate - s.like_margin, 0) AS like_rate_low, r.like_rate + s.like_margin AS like_rate_high,
  r.less_rate, greatest(r.less_rate - s.less_margin, 0) AS less_rate_low,
  r.less_rate + s.less_margin AS less_rate_high
FROM rated AS r
JOIN spread AS s ON s.variant = r.variant
ORDER BY r.variant;
