-- Question: which share of the people who like something has a list, and which share a long one?
-- Reads: likes_between, lists_of
-- Writes: none
-- Grain: one row per band of activity, and one for all
-- Parameters: hours = 24.0 (who liked something in these hours), items = 100 (posts of a long list), feed = ''
--   (record key of a feed; '' for the first)
-- Units: likers are people; long_share = those with a list of that many posts / likers. On a large store, choose
--   fewer hours
SET VARIABLE of_feed = one_feed(getvariable('feed'));

WITH active AS (
  SELECT liker_id, count(*) AS likes
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24.0)), getvariable('now_us'))
  GROUP BY liker_id
), listed AS (
  SELECT viewer_id, max(position) AS items FROM lists_of(getvariable('of_feed')) GROUP BY viewer_id
), banded AS (
  SELECT
    unnest([
      'all',
      CASE WHEN a.likes = 1 THEN '1 like' WHEN a.likes <= 5 THEN '2-5 likes'
        WHEN a.likes <= 20 THEN '6-20 likes' ELSE '21 likes or more' END]) AS activity,
    a.likes, l.items
  FROM active AS a
  LEFT JOIN listed AS l ON l.viewer_id = a.liker_id
)
SELECT
  activity, count(*) AS likers, count(items) AS with_list,
  count(*) FILTER (items >= coalesce(getvariable('items'), 100)) AS with_long_list,
  count(items) / count(*)::DOUBLE AS list_share,
  count(*) FILTER (items >= coalesce(getvariable('items'), 100)) / count(*)::DOUBLE AS long_share
FROM banded
GROUP BY activity
ORDER BY activity <> 'all', min(likes);
