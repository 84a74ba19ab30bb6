-- Question: what was in the viewer's list when it was first made on a day of the last week?
-- Reads: daily_lists, daily_list_posts (of that day), actors
-- Writes: none
-- Grain: one row per post of the first 30, in the order of that list
-- Parameters: viewer_id
-- Units: score as the batch wrote it
SELECT
  l.position, p.author_id, p.rkey, post_uri(a.did, p.rkey) AS post_uri, l.score, l.co_likers, l.generation,
  CASE l.source WHEN 1 THEN 'co-likers' WHEN 2 THEN 'popular' WHEN 3 THEN 'trial' ELSE 'other' END AS source
FROM daily_lists AS l
JOIN daily_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
JOIN actors AS a ON a.actor_id = p.author_id
WHERE l.viewer_id = getvariable('viewer_id')
ORDER BY l.position;
