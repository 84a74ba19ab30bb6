-- Question: which posts may be in a list?
-- Reads: likes, posts, ruled_accounts, ruled_posts, withheld
-- Writes: candidate_posts
-- Grain: one row per known, top-level post without an adult or !hide label that the operator does not block and nobody
--   withholds from everybody, liked lately and with the wanted media
-- Parameters: snapshot_us, candidate_window_hours, post_max_age_hours, media
-- Units: likers are distinct, in the window. post_no counts from 0, newest rkey first and then by author_id, so a
--   smaller number wins a tie. level: 0 for everybody, 1 not for who is not signed in, 2 nor as what is popular
-- Columns: post_no, author_no, author_id, rkey, created_us, langs, media INTEGER, level INTEGER, likers
CREATE OR REPLACE TABLE candidate_posts AS
WITH fresh AS (
  SELECT DISTINCT author_id, post_rkey
  FROM likes
  WHERE hours_before(seen_us) < getvariable('candidate_window_hours')
), fit AS (
  SELECT
    p.author_id, p.rkey, p.created_us, p.langs, p.flags & 120 AS media,   -- IMAGES, VIDEO, EXTERNAL, QUOTE
    p.flags & 128 <> 0 AS signed_in,   -- SIGNED_IN
    coalesce(r.blocked, a.blocked) AS blocked
  FROM posts AS p
  SEMI JOIN fresh AS f ON f.author_id = p.author_id AND f.post_rkey = p.rkey
  LEFT JOIN ruled_accounts AS a ON a.author_id = p.author_id
  LEFT JOIN ruled_posts AS r ON r.author_id = p.author_id AND r.rkey = p.rkey
  WHERE NOT p.deleted
    AND p.flags & 7 = 0   -- REPLY, ADULT, HIDE: pipeline/store/model.py
    AND NOT coalesce(r.blocked, a.blocked, p.flags & 256 <> 0)   -- BLOCKED: a rule about texts
    AND (getvariable('media') = 0 OR p.flags & getvariable('media') <> 0)
    AND hours_before(p.created_us) < getvariable('post_max_age_hours')
), wishes AS (
  SELECT f.author_id, f.rkey, max(w.level) AS level
  FROM fit AS f
  JOIN withheld AS w ON w.author_id = f.author_id AND (w.rkey = f.rkey OR w.rkey < 0)
  WHERE w.cause <> 1 OR f.blocked IS NULL   -- what the operator allows, labelers (1) don't withhold
  GROUP BY f.author_id, f.rkey
), allowed AS (
  SELECT
    f.author_id, f.rkey, f.created_us, f.langs, f.media,
    greatest(coalesce(w.level, 0), f.signed_in::INTEGER)::INTEGER AS level
  FROM fit AS f
  LEFT JOIN wishes AS w ON w.author_id = f.author_id AND w.rkey = f.rkey
  WHERE coalesce(w.level, 0) < 3
), counted AS (
  SELECT l.author_id, l.post_rkey, count(*) AS likers
  FROM likes AS l
  SEMI JOIN allowed AS a ON a.author_id = l.author_id AND a.rkey = l.post_rkey
  GROUP BY l.author_id, l.post_rkey
)
SELECT
  (row_number() OVER (ORDER BY a.rkey DESC, a.author_id) - 1)::INTEGER AS post_no,
  (dense_rank() OVER (ORDER BY a.author_id) - 1)::INTEGER AS author_no,
  a.author_id, a.rkey, a.created_us, a.langs, a.media, a.level, c.likers
FROM allowed AS a
JOIN counted AS c ON c.author_id = a.author_id AND c.post_rkey = a.rkey
ORDER BY post_no;
