-- Question: how evenly are authors shown, compared with how evenly they are liked?
-- Reads: likes_between, lists_of, stored_list_posts, impressions
-- Writes: none
-- Grain: one row per thing that authors get: likes, places in lists, impressions
-- Parameters: hours = 48.0 (hours of likes and impressions back from now), places = 30 (only the first places of each list
--   count), feed = '' (record key of a feed; '' for the first)
-- Units: authors are those who get at least one; gini is 0 when all of these get the same, and near 1 when one gets
--   all; top_1_percent and top_10_percent are the shares of the authors who get most, rounded up; half is the smallest
--   number of authors who get half. On a large store, choose fewer hours
SET VARIABLE of_feed = one_feed(getvariable('feed'));

WITH got AS (
  SELECT 1 AS thing, author_id::VARCHAR AS author, count(*) AS n
  FROM likes_between(hours_ago(coalesce(getvariable('hours'), 48.0)), getvariable('now_us'))
  GROUP BY author_id
  UNION ALL
  SELECT 2, p.author_id::VARCHAR, count(*)
  FROM lists_of(getvariable('of_feed')) AS l
  JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
  WHERE l.position <= coalesce(getvariable('places'), 30)
  GROUP BY p.author_id
  UNION ALL
  SELECT 3, uri_author(post_uri), sum(n)::BIGINT
  FROM (
    SELECT post_uri, count(*) AS n
    FROM impressions
    WHERE feed = getvariable('of_feed') AND served_at > make_timestamp(hours_ago(coalesce(getvariable('hours'), 48.0)))
      AND served_at <= make_timestamp(getvariable('now_us'))
    GROUP BY post_uri)
  GROUP BY 2
), ranked AS (
  SELECT
    thing, n, row_number() OVER (PARTITION BY thing ORDER BY n DESC) AS place,
    count(*) OVER (PARTITION BY thing) AS authors, sum(n) OVER (PARTITION BY thing) AS total,
    sum(n) OVER (PARTITION BY thing ORDER BY n DESC ROWS UNBOUNDED PRECEDING) AS so_far
  FROM got
)
SELECT
  CASE thing WHEN 1 THEN 'likes' WHEN 2 THEN 'places in lists' ELSE 'impressions' END AS what,
  max(authors) AS authors, max(total)::BIGINT AS things,
  (max(authors) + 1) / max(authors)::DOUBLE - 2 * sum(n * place) / (max(authors) * max(total))::DOUBLE AS gini,
  sum(n) FILTER (place <= ceil(authors / 100.0::DOUBLE)) / max(total)::DOUBLE AS top_1_percent,
  sum(n) FILTER (place <= ceil(authors / 10.0::DOUBLE)) / max(total)::DOUBLE AS top_10_percent,
  min(place) FILTER (so_far * 2 >= total) AS half
FROM ranked
GROUP BY thing
ORDER BY thing;
