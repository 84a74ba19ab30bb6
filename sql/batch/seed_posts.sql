-- Question: which seed posts have co-likers, and how much does sharing one count?
-- Reads: seeds, likes, answer_weights
-- Writes: seed_posts
-- Grain: one row per seed post with two likers or more; for an answered post one is enough
-- Parameters: likers_exponent
-- Units: likers are distinct, in the window; scale = likers ^ -likers_exponent; seed_no counts from 0
-- Columns: seed_no, author_id, post_rkey, likers, scale
CREATE OR REPLACE TABLE seed_posts AS
WITH counted AS (
  SELECT l.author_id, l.post_rkey, count(*) AS likers
  FROM likes AS l
  SEMI JOIN seeds AS s ON s.author_id = l.author_id AND s.post_rkey = l.post_rkey
  GROUP BY l.author_id, l.post_rkey
)
SELECT
  (row_number() OVER () - 1)::INTEGER AS seed_no,
  c.author_id, c.post_rkey, c.likers,
  pow(c.likers::DOUBLE, -getvariable('likers_exponent')) AS scale
FROM counted AS c
LEFT JOIN (SELECT DISTINCT author_id, post_rkey FROM answer_weights) AS a
  ON a.author_id = c.author_id AND a.post_rkey = c.post_rkey
WHERE c.likers >= 2 OR a.author_id IS NOT NULL;
