-- Question: which neighbours' likes make up a post's similarity?
-- Reads: explained_post, candidate_posts, fresh_likes, neighbours, likes, actors
-- Writes: none
-- Grain: one row per neighbour who liked the post asked about lately, largest part first
-- Parameters: snapshot_us
-- Units: part = weight * value, value = (1 + like_age_hours / like_decay_hours) ^ -like_decay_exponent; the parts and
--   the crowd's sum to similarity
SELECT
  a.did AS neighbour_did, n.rank, n.weight, f.value, n.weight::DOUBLE * f.value AS part,
  hours_before(l.seen_us) AS like_age_hours
FROM explained_post AS q
JOIN candidate_posts AS p ON p.author_id = q.author_id AND p.rkey = q.rkey
JOIN fresh_likes AS f ON f.post_no = p.post_no
JOIN neighbours AS n ON n.neighbour_id = f.liker_id
JOIN likes AS l ON l.liker_id = f.liker_id AND l.author_id = q.author_id AND l.post_rkey = q.rkey
JOIN actors AS a ON a.actor_id = n.neighbour_id
ORDER BY part DESC, n.rank;
