-- Question: how often is a post liked, by its age when it was served?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per span of age, youngest first
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts), feed
--   = '' (record key of a feed; '' for all)
-- Units: ages in hours by the time in the post's rkey; only the first impression of a (feed, viewer, post) counts.
--   ripe: those whose within_hours are over; likes and like_rate are of these. _low and _high are bounds of 95 %
--   confidence, clustered by viewer (Wilson); empty with one viewer. On a large store, choose fewer days
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH by_viewer AS (
  SELECT
    CASE
      WHEN age_hours < 1 THEN 'under 1 h' WHEN age_hours < 6 THEN '1-6 h' WHEN age_hours < 24 THEN '6-24 h'
      WHEN age_hours < 48 THEN '1-2 days' ELSE '2 days or more' END AS age, viewer_did, count(*) AS impressions, count(*) FILTER (ripe) AS n,
    count(*) FILTER (ripe AND liked) AS k, min(age_hours) AS youngest
  FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0), getvariable('of_feed'))
  GROUP BY age, viewer_did
), counted AS (
  SELECT
    age, sum(impressions)::BIGINT AS impressions, sum(n)::BIGINT AS ripe, sum(k)::BIGINT AS likes,
    CASE WHEN sum(n) > 0 THEN sum(k) / sum(n)::DOUBLE END AS like_rate,
    trials_of(sum(k), sum(n), sum(k * k), sum(k * n), sum(n * n), count(*) FILTER (n > 0)) AS trials, min(youngest) AS youngest
  FROM by_viewer
  GROUP BY age
)
SELECT
  age, impressions, ripe, likes, like_rate,
  wilson_low(like_rate, trials) AS like_rate_low, wilson_high(like_rate, trials) AS like_rate_high
FROM counted
ORDER BY youngest;
