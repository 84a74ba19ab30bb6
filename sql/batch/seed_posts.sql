-- Question: which seed posts have co-likers, and how much does sharing one count?
-- Reads: seeds, likes
-- Writes: seed_posts
-- Grain: one row a seed post with two likers or more
-- Parameters: likers_exponent
-- Units: likers are distinct likers in the window; scale = likers ^ -likers_exponent; seed_no counts from 0

CREATE OR REPLACE TABLE seed_posts AS
WITH counted AS (
  SELECT l.author_id, l.post_rkey, count(*) AS likers
  FROM likes AS l
  SEMI JOIN seeds AS s ON s.author_id = l.author_id AND s.post_rkey = l.post_rkey
  GROUP BY l.author_id, l.post_rkey
  HAVING count(*) >= 2
)
SELECT
  (row_number() OVER () - 1)::INTEGER AS seed_no,
  author_id, post_rkey, likers,
  pow(likers::DOUBLE, -getvariable('likers_exponent')) AS scale
FROM counted;
