-- Question: what is matrix B: who liked each seed post?
-- Reads: seed_posts, likes
-- Writes: seed_likers
-- Grain: one row per (seed post, liker); a fixed sample where a post has more than max_seed_likers likers
-- Parameters: max_seed_likers
-- Units: a liker is in the sample with probability max_seed_likers / likers
-- Columns: seed_no, liker_id
CREATE OR REPLACE TABLE seed_likers AS
SELECT p.seed_no, l.liker_id
FROM likes AS l
JOIN seed_posts AS p ON p.author_id = l.author_id AND p.post_rkey = l.post_rkey
WHERE p.likers <= getvariable('max_seed_likers')
  OR sample_number(l.liker_id, l.post_rkey) * p.likers < getvariable('max_seed_likers') * 4294967296;
