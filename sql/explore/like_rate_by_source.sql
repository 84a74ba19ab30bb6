-- Question: how often is a post liked, by its source?
-- Reads: outcomes_between
-- Writes: none
-- Grain: one row per source
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts), feed
--   = '' (record key of a feed; '' for all)
-- Units: only the first impression of a (feed, viewer, post) counts. ripe: those whose within_hours are over; likes
--   and like_rate are of these. _low and _high are bounds of 95 % confidence, clustered by viewer (Wilson); empty with
--   one viewer. On a large store, choose fewer days
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH by_viewer AS (
  SELECT
    source, viewer_did, count(*) AS impressions, count(*) FILTER (ripe) AS n,
    count(*) FILTER (ripe AND liked) AS k
  FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0), getvariable('of_feed'))
  GROUP BY source, viewer_did
), counted AS (
  SELECT
    source, sum(impressions)::BIGINT AS impressions, sum(n)::BIGINT AS ripe, sum(k)::BIGINT AS likes,
    CASE WHEN sum(n) > 0 THEN sum(k) / sum(n)::DOUBLE END AS like_rate,
    trials_of(sum(k), sum(n), sum(k * k), sum(k * n), sum(n * n), count(*) FILTER (n > 0)) AS trials
  FROM by_viewer
  GROUP BY source
)
SELECT
  source, impressions, ripe, likes, like_rate,
  wilson_low(like_rate, trials) AS like_rate_low, wilson_high(like_rate, trials) AS like_rate_high
FROM counted
ORDER BY impressions DESC, source;
