-- Question: how often is a post liked, by its place in the list?
-- Reads: outcomes_between
-- Grain: one row a place
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (a like counts so long after serving),
--   places = 30 (places shown)
-- Units: impressions are first ones of a (viewer, post); like_rate = likes / impressions

SELECT
  position, count(*) AS impressions, count(*) FILTER (liked) AS likes,
  count(*) FILTER (liked) / count(*)::DOUBLE AS like_rate
FROM outcomes_between(
  hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
  coalesce(getvariable('within_hours'), 24.0))
WHERE position <= coalesce(getvariable('places'), 30)
GROUP BY position
ORDER BY position;
