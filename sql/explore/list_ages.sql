-- Question: how stale are lists: how old are the posts at each place?
-- Reads: lists_of, stored_list_posts
-- Writes: none
-- Grain: one row per span of places
-- Parameters: feed = '' (record key of a feed; '' for the first)
-- Units: ages in hours at the generation's snapshot; day_old is the share of items a day old or older;
--   from_co_likers is the share from them, trial posts included
SET VARIABLE of_feed = one_feed(getvariable('feed'));

SELECT
  CASE
    WHEN l.position <= 10 THEN '1-10' WHEN l.position <= 30 THEN '11-30'
    WHEN l.position <= 100 THEN '31-100' ELSE '101-' END AS places,
  count(*) AS items,
  avg((getvariable('now_us') - p.created_us) / 3600000000.0::DOUBLE) AS mean_age_hours,
  max((getvariable('now_us') - p.created_us) / 3600000000.0::DOUBLE) AS oldest_hours,
  avg((p.created_us <= hours_ago(24))::INTEGER) AS day_old,
  count(*) FILTER (l.source IN (1, 3)) / count(*)::DOUBLE AS from_co_likers
FROM lists_of(getvariable('of_feed')) AS l
JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
GROUP BY places
ORDER BY min(l.position);
