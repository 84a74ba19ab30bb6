-- Question: how often is a post liked, by its source?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per source
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts)
-- Units: only the first impression of a (viewer, post) counts; like_rate = likes / impressions
SELECT
  source, count(*) AS impressions, count(*) FILTER (liked) AS likes,
  count(*) FILTER (liked) / count(*)::DOUBLE AS like_rate
FROM outcomes_between(
  hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
  coalesce(getvariable('within_hours'), 24.0))
GROUP BY source
ORDER BY impressions DESC, source;
