-- Question: what is in the viewer's list?
-- Reads: stored_lists, stored_list_posts, actors
-- Writes: none
-- Grain: one row per post, in the order of the list
-- Parameters: viewer_id
-- Units: score as the batch wrote it
SELECT
  l.position, p.author_id, p.rkey, post_uri(a.did, p.rkey) AS post_uri, l.score, l.co_likers,
  CASE l.source WHEN 1 THEN 'co-likers' WHEN 2 THEN 'popular' WHEN 3 THEN 'trial' ELSE 'other' END AS source
FROM stored_lists AS l
JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
JOIN actors AS a ON a.actor_id = p.author_id
WHERE l.viewer_id = getvariable('viewer_id')
ORDER BY l.position;
