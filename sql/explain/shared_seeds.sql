-- Question: which of the viewer's seeds does each neighbour share, and what does each count?
-- Reads: viewer_neighbours, actors, co_likers, seed_likers, seed_entries, seed_posts, answers
-- Writes: none
-- Grain: one row per (neighbour, shared seed), closest neighbour first
-- Parameters: viewer_id
-- Units: value = the seed's weight * likers ^ -likers_exponent; a neighbour's weight = (sum of its values) ^
--   overlap_exponent * scale, with scale as in sql/batch/co_likers.sql; picked: the viewer picked the seed to begin with
SELECT
  v.rank, n.did AS neighbour_did, v.weight, c.likes, c.scale,
  post_uri(a.did, p.post_rkey) AS post_uri, p.likers, e.value,
  NOT e.liked AND EXISTS (
    SELECT 1 FROM answers AS w
    WHERE w.viewer_id = getvariable('viewer_id') AND w.event = 'pick'
      AND w.author_id = p.author_id AND w.post_rkey = p.post_rkey) AS picked
FROM viewer_neighbours AS v
JOIN actors AS n ON n.actor_id = v.neighbour_id
JOIN co_likers AS c ON c.liker_id = v.neighbour_id
JOIN seed_likers AS b ON b.liker_id = v.neighbour_id
JOIN seed_entries AS e ON e.seed_no = b.seed_no AND e.viewer_id = getvariable('viewer_id')
JOIN seed_posts AS p ON p.seed_no = b.seed_no
JOIN actors AS a ON a.actor_id = p.author_id
ORDER BY v.rank, abs(e.value) DESC, post_uri;
