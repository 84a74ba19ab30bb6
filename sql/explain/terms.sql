-- Question: what are the terms of each post's score for the viewer?
-- Reads: candidates, candidate_posts, list_viewers, ranked, neighbours, crowd_weights, fresh_likes, crowds, actors
-- Writes: none
-- Grain: one row per post with a score, best first
-- Parameters: snapshot_us, half_life_hours, popularity_exponent, foreign_weight
-- Units: score = similarity ^ score_exponent * decay * popularity * readable; crowd is its part of similarity. author_place counts
--   the author's posts by score, rank_before all posts, position those left by the author's cap and the list's length;
--   expected and idle_hours as in crowds
WITH parts AS (
  SELECT f.post_no, n.weight::DOUBLE * f.value AS part, 0::DOUBLE AS crowd
  FROM neighbours AS n
  JOIN fresh_likes AS f ON f.liker_id = n.neighbour_id
  UNION ALL
  SELECT c.post_no, h.weight * c.share, h.weight * c.share
  FROM crowds AS c
  CROSS JOIN crowd_weights AS h
  WHERE h.weight > 0
), summed AS (
  SELECT post_no, sum(part) AS similarity, sum(crowd) AS crowd FROM parts GROUP BY post_no
)
SELECT
  p.author_id, p.rkey, a.did AS author_did, post_uri(a.did, p.rkey) AS post_uri,
  c.score, s.similarity, s.crowd, c.co_likers, p.likers, hours_before(p.created_us) AS age_hours,
  pow(0.5::DOUBLE, greatest(hours_before(p.created_us), 0) / getvariable('half_life_hours')) AS decay,
  pow(p.likers::DOUBLE, -getvariable('popularity_exponent')) AS popularity,
  readable(v.reads, p.langs) AS readable, p.langs, v.reads,
  row_number() OVER (ORDER BY c.score DESC, c.post_no) AS rank_before,
  row_number() OVER (PARTITION BY p.author_id ORDER BY c.score DESC, c.post_no) AS author_place,
  r.position, w.expected, w.idle_hours
FROM candidates AS c
JOIN summed AS s ON s.post_no = c.post_no
JOIN candidate_posts AS p ON p.post_no = c.post_no
JOIN list_viewers AS v ON v.viewer_id = c.viewer_id
JOIN actors AS a ON a.actor_id = p.author_id
LEFT JOIN ranked AS r ON r.post_no = c.post_no
LEFT JOIN crowds AS w ON w.post_no = c.post_no
ORDER BY rank_before;
