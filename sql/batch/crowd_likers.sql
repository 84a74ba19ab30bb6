-- Question: how much does each liker count in what is popular, and to which crowd do they belong?
-- Reads: fresh_likes, candidate_posts, likes, first_reported
-- Writes: crowd_likers
-- Grain: one row per liker of candidate posts
-- Parameters: snapshot_us, newcomer_hours, crowd_memory_hours, fallback_smoothing
-- Units: worth = newness of their first reported like of the crowd's memory ^ 2 / sqrt(fresh likes + fallback_smoothing):
--   bulk likers count less, new accounts and those that were silent hardly at all. A crowd is the author_no that its
--   likers like most, in a tie the smaller number
-- Columns: liker_id, crowd INTEGER, worth
CREATE OR REPLACE TABLE crowd_likers AS
WITH liked_authors AS (
  SELECT f.liker_id, p.author_no, count(*) AS likes
  FROM fresh_likes AS f
  JOIN candidate_posts AS p ON p.post_no = f.post_no
  GROUP BY f.liker_id, p.author_no
), fresh AS (
  SELECT
    liker_id, sum(likes)::BIGINT AS likes,
    arg_max(author_no, likes * 4294967296 - author_no) AS crowd
  FROM liked_authors
  GROUP BY liker_id
), first AS (
  SELECT l.liker_id, min(l.seen_us) AS first_us
  FROM likes AS l
  SEMI JOIN fresh AS f ON f.liker_id = l.liker_id
  WHERE hours_before(l.seen_us) < getvariable('crowd_memory_hours')
  GROUP BY l.liker_id
)
SELECT
  f.liker_id, f.crowd,
  pow(newness(greatest(r.first_us, coalesce(i.first_us, getvariable('snapshot_us')))), 2)
    / sqrt(f.likes + getvariable('fallback_smoothing')) AS worth
FROM fresh AS f
LEFT JOIN first AS i ON i.liker_id = f.liker_id
LEFT JOIN first_reported AS r ON r.liker_id = f.liker_id;
