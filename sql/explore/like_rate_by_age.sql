-- Question: how often is a post liked, by its age when it was served?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per span of age, youngest first
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts)
-- Units: ages in hours by the time in the post's rkey; only the first impression of a (viewer, post) counts
SELECT
  CASE
    WHEN age_hours < 1 THEN 'under 1 h' WHEN age_hours < 6 THEN '1-6 h' WHEN age_hours < 24 THEN '6-24 h'
    WHEN age_hours < 48 THEN '1-2 days' ELSE '2 days or more' END AS age,
  count(*) AS impressions, count(*) FILTER (liked) AS likes,
  count(*) FILTER (liked) / count(*)::DOUBLE AS like_rate
FROM outcomes_between(
  hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
  coalesce(getvariable('within_hours'), 24.0))
GROUP BY age
ORDER BY min(age_hours);
