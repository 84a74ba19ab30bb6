-- Question: what is matrix F: who liked which candidate lately, and what is that like still worth?
-- Reads: likes, candidate_posts
-- Writes: fresh_likes
-- Grain: one row per (liker, candidate post)
-- Parameters: snapshot_us, candidate_window_hours, like_decay_hours, like_decay_exponent
-- Units: value = (1 + age of the like / like_decay_hours) ^ -like_decay_exponent
-- Columns: liker_id, post_no, value
CREATE OR REPLACE TABLE fresh_likes AS
SELECT
  l.liker_id, p.post_no,
  pow(
    1 + hours_before(l.seen_us) / getvariable('like_decay_hours'), -getvariable('like_decay_exponent')
  ) AS value
FROM likes AS l
JOIN candidate_posts AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey
WHERE hours_before(l.seen_us) < getvariable('candidate_window_hours');
