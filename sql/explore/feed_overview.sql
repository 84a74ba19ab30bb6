-- Question: how do the feeds of this installation compare?
-- Reads: stored_feeds, stored_lists, impressions, outcomes_between
-- Writes: none
-- Grain: one row per feed, in the order of foryou.toml
-- Parameters: days = 7.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts)
-- Units: lists are of the newest run for everybody, items is their mean length; viewers and impressions are of the
--   span. ripe, like_rate, less_rate and bounds as in experiment_results, per first impression of a (viewer, post). On
--   a large store, choose fewer days
WITH listed AS (
  SELECT feed, count(*) FILTER (position = 1) AS lists, count(*) / count(*) FILTER (position = 1)::DOUBLE AS items
  FROM stored_lists
  GROUP BY feed
), shown AS (
  SELECT feed, count(DISTINCT viewer_did) AS viewers, count(*) AS impressions
  FROM impressions
  WHERE served_at > make_timestamp(hours_ago(24 * coalesce(getvariable('days'), 7.0)))
    AND served_at <= make_timestamp(getvariable('now_us'))
  GROUP BY feed
), by_viewer AS (
  SELECT
    feed, viewer_did, count(*) AS m, count(*) FILTER (ripe) AS n, count(*) FILTER (ripe AND liked) AS k,
    count(*) FILTER (less) AS less
  FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0), '')
  GROUP BY feed, viewer_did
), rated AS (
  SELECT
    feed, sum(n)::BIGINT AS ripe, CASE WHEN sum(n) > 0 THEN sum(k) / sum(n)::DOUBLE END AS like_rate,
    trials_of(sum(k), sum(n), sum(k * k), sum(k * n), sum(n * n), count(*) FILTER (n > 0)) AS trials,
    sum(less) / sum(m)::DOUBLE AS less_rate
  FROM by_viewer
  GROUP BY feed
)
SELECT
  f.feed, coalesce(l.lists, 0) AS lists, l.items, coalesce(s.viewers, 0) AS viewers,
  coalesce(s.impressions, 0) AS impressions, coalesce(r.ripe, 0) AS ripe, r.like_rate,
  wilson_low(r.like_rate, r.trials) AS like_rate_low, wilson_high(r.like_rate, r.trials) AS like_rate_high,
  r.less_rate
FROM stored_feeds AS f
LEFT JOIN listed AS l ON l.feed = f.feed
LEFT JOIN shown AS s ON s.feed = f.feed
LEFT JOIN rated AS r ON r.feed = f.feed
ORDER BY f.place;
