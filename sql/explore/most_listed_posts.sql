-- Question: which posts are in most lists, so that everybody sees them?
-- Reads: stored_lists, stored_list_posts, stored_actors
-- Writes: none
-- Grain: one row per post, in most lists first
-- Parameters: places = 30 (only the first places of each list count), rows = 20 (posts shown)
-- Units: share is of all lists; mean_rank is over the lists that have the post
WITH counted AS (
  SELECT post_no, generation, count(*) AS lists, avg(position) AS mean_rank
  FROM stored_lists
  WHERE position <= coalesce(getvariable('places'), 30)
  GROUP BY post_no, generation
)
SELECT
  post_uri(a.did, p.rkey) AS post_uri, c.lists,
  c.lists / (SELECT count(*) FROM stored_lists WHERE position = 1)::DOUBLE AS share, c.mean_rank, p.likers
FROM counted AS c
JOIN stored_list_posts AS p ON p.post_no = c.post_no AND p.generation = c.generation
JOIN stored_actors AS a ON a.actor_id = p.author_id
ORDER BY c.lists DESC, c.mean_rank, c.post_no
LIMIT coalesce(getvariable('rows'), 20);
