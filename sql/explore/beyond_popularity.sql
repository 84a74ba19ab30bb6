-- Question: what do the lists bring beyond what is popular anyway, and is it liked?
-- Reads: likes_between, lists_of, stored_list_posts, outcomes_between
-- Writes: none
-- Grain: one row per band of popularity, the most popular first
-- Parameters: days = 3.0 (days back from now), within_hours = 24.0 (hours after serving in which a like counts), places
--   = 30 (only the first places of each list count), feed = '' (record key of a feed; '' for the first)
-- Units: popularity is a post's place among all posts by likes in the span. items are of lists, list_share is of these.
--   impressions, ripe and likes are of posts served in the span, as in like_rate_by_source. On a large store, choose fewer
--   days
SET VARIABLE of_feed = one_feed(getvariable('feed'));

WITH counted AS (
  SELECT author_id, post_rkey, count(*) AS likes
  FROM likes_between(hours_ago(24 * coalesce(getvariable('days'), 3.0)), getvariable('now_us'))
  GROUP BY author_id, post_rkey
), popular AS (  -- no other place matters than the first thousand
  SELECT author_id, post_rkey, row_number() OVER (ORDER BY likes DESC, post_rkey DESC, author_id) AS place
  FROM (FROM counted ORDER BY likes DESC, post_rkey DESC, author_id LIMIT 1000)
), bands AS (
  FROM (VALUES (1, '1-30', 30), (2, '31-100', 100), (3, '101-1000', 1000), (4, 'beyond 1000', NULL))
    AS b(band, popularity, until_place)
), listed AS (
  SELECT
    CASE WHEN o.place <= 30 THEN 1 WHEN o.place <= 100 THEN 2 WHEN o.place <= 1000 THEN 3 ELSE 4 END AS band,
    count(*) AS items
  FROM lists_of(getvariable('of_feed')) AS l
  JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
  LEFT JOIN popular AS o ON o.author_id = p.author_id AND o.post_rkey = p.rkey
  WHERE l.position <= coalesce(getvariable('places'), 30)
  GROUP BY band
), served AS (
  SELECT
    CASE WHEN o.place <= 30 THEN 1 WHEN o.place <= 100 THEN 2 WHEN o.place <= 1000 THEN 3 ELSE 4 END AS band,
    s.viewer_did, count(*) AS impressions, count(*) FILTER (s.ripe) AS n, count(*) FILTER (s.ripe AND s.liked) AS k
  FROM outcomes_between(
    hours_ago(24 * coalesce(getvariable('days'), 3.0)), getvariable('now_us'),
    coalesce(getvariable('within_hours'), 24.0), getvariable('of_feed')) AS s
  LEFT JOIN popular AS o ON o.author_id = s.author_id AND o.post_rkey = s.rkey
  GROUP BY band, s.viewer_did
), rated AS (
  SELECT
    band, sum(impressions)::BIGINT AS impressions, sum(n)::BIGINT AS ripe, sum(k)::BIGINT AS likes,
    CASE WHEN sum(n) > 0 THEN sum(k) / sum(n)::DOUBLE END AS like_rate,
    trials_of(sum(k), sum(n), sum(k * k), sum(k * n), sum(n * n), count(*) FILTER (n > 0)) AS trials
  FROM served
  GROUP BY band
)
SELECT
  b.popularity, coalesce(l.items, 0) AS items, coalesce(l.items, 0) / (SELECT sum(items) FROM listed)::DOUBLE AS list_share,
  coalesce(r.impressions, 0) AS impressions, coalesce(r.ripe, 0) AS ripe, coalesce(r.likes, 0) AS likes, r.like_rate,
  wilson_low(r.like_rate, r.trials) AS like_rate_low, wilson_high(r.like_rate, r.trials) AS like_rate_high
FROM bands AS b
LEFT JOIN listed AS l ON l.band = b.band
LEFT JOIN rated AS r ON r.band = b.band
ORDER BY b.band;
