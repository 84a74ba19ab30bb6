-- Question: who are the co-likers behind a viewer's list, and how much of it do they bring?
-- Reads: neighbours_of, lists_of, stored_list_posts, like_records_between, stored_actors
-- Writes: none
-- Grain: one row per neighbour, closest first
-- Parameters: viewer (DID), hours = 48.0 (hours of likes that make candidates), rows = 20 (neighbours shown), feed =
--   '' (record key of a feed; '' for the first)
-- Units: weight as in the ranking; list_posts is how many posts of the viewer's list the neighbour liked lately,
--   best_rank the best place of these. On a large store, choose fewer hours
SET VARIABLE of_feed = one_feed(getvariable('feed'));
SET VARIABLE viewer_id = actor_number(getvariable('viewer'));

WITH near AS (
  SELECT neighbour_id, weight, rank
  FROM neighbours_of(getvariable('of_feed'))
  WHERE viewer_id = getvariable('viewer_id') AND rank <= coalesce(getvariable('rows'), 20)
), listed AS (
  SELECT l.position, p.author_id, p.rkey
  FROM lists_of(getvariable('of_feed')) AS l
  JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
  WHERE l.viewer_id = getvariable('viewer_id')
), liked AS (
  SELECT l.liker_id, count(DISTINCT d.position) AS list_posts, min(d.position) AS best_rank
  FROM like_records_between(hours_ago(coalesce(getvariable('hours'), 48.0)), getvariable('now_us')) AS l
  JOIN listed AS d ON d.author_id = l.author_id AND d.rkey = l.post_rkey
  GROUP BY l.liker_id
)
SELECT n.rank, a.did AS neighbour_did, n.weight, coalesce(k.list_posts, 0) AS list_posts, k.best_rank
FROM near AS n
JOIN stored_actors AS a ON a.actor_id = n.neighbour_id
LEFT JOIN liked AS k ON k.liker_id = n.neighbour_id
ORDER BY n.rank;
