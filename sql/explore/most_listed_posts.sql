-- Question: which posts are in most lists, so that everybody sees them?
-- Reads: lists_of, stored_list_posts, stored_actors
-- Writes: none
-- Grain: one row per post, in most lists first
-- Parameters: places = 30 (only the first places of each list count), rows = 20 (posts shown), feed = '' (record key
--   of a feed; '' for the first)
-- Units: share is of all lists of the feed; mean_rank is over the lists that have the post
-- An experiment numbers the posts of each variant's lists anew, so a post is known by its author and its rkey.
SET VARIABLE of_feed = one_feed(getvariable('feed'));

WITH numbered AS (
  SELECT post_no, generation, count(*) AS lists, sum(position) AS places
  FROM lists_of(getvariable('of_feed'))
  WHERE position <= coalesce(getvariable('places'), 30)
  GROUP BY post_no, generation
), counted AS (
  SELECT
    p.author_id, p.rkey, sum(n.lists)::BIGINT AS lists, sum(n.places) / sum(n.lists)::DOUBLE AS mean_rank,
    max(p.likers) AS likers
  FROM numbered AS n
  JOIN stored_list_posts AS p ON p.post_no = n.post_no AND p.generation = n.generation
  GROUP BY p.author_id, p.rkey
)
SELECT
  post_uri(a.did, c.rkey) AS post_uri, c.lists,
  c.lists / (SELECT count(*) FROM lists_of(getvariable('of_feed')) WHERE position = 1)::DOUBLE AS share, c.mean_rank, c.likers
FROM counted AS c
JOIN stored_actors AS a ON a.actor_id = c.author_id
ORDER BY c.lists DESC, c.mean_rank, c.rkey DESC, c.author_id
LIMIT coalesce(getvariable('rows'), 20);
