-- Question: which share of the average liker's attention does each popular post have now, or soon?
-- Reads: popular, candidate_posts, likes, crowd_likers, forecast
-- Writes: crowd_shares
-- Grain: one row per post of any list in popular
-- Parameters: snapshot_us, candidate_window_hours, crowd_decay_hours, crowd_decay_exponent, forecast_weight
-- Units: now = sum over crowds of ln(1 + mass) / the sum of all likers' worth. Unlike in popular, a like counts (1 +
--   age / crowd_decay_hours) ^ -crowd_decay_exponent, so that a post whose time is over has little share. expected = as
--   in forecast. share = now, of which forecast_weight is dealt out again in proportion to what is expected,
--   as a FLOAT: lists are made of it, and the last bits of a sum depend on the order of rows, and so on the threads
-- Columns: post_no, share FLOAT, now, expected
CREATE OR REPLACE TABLE crowd_shares AS
WITH listed AS (
  SELECT p.post_no, p.author_id, p.rkey
  FROM candidate_posts AS p
  SEMI JOIN popular AS l ON l.post_no = p.post_no
), crowds AS (
  SELECT p.post_no, w.crowd, sum(
    pow(1 + hours_before(l.seen_us) / getvariable('crowd_decay_hours'), -getvariable('crowd_decay_exponent'))
    * w.worth) AS mass
  FROM likes AS l
  JOIN listed AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey
  JOIN crowd_likers AS w ON w.liker_id = l.liker_id
  WHERE hours_before(l.seen_us) < getvariable('candidate_window_hours')
  GROUP BY p.post_no, w.crowd
), total AS (
  SELECT sum(worth) AS worth FROM crowd_likers
), present AS (
  SELECT c.post_no, coalesce(sum(damped(c.mass)) / nullif(any_value(t.worth), 0), 0)::DOUBLE AS now
  FROM crowds AS c
  CROSS JOIN total AS t
  GROUP BY c.post_no
), whole AS (
  SELECT
    sum(p.now) AS now, sum(f.expected) AS expected,
    CASE WHEN sum(f.expected) > 0 THEN getvariable('forecast_weight') ELSE 0 END AS weight
  FROM present AS p
  LEFT JOIN forecast AS f ON f.post_no = p.post_no
)
SELECT
  p.post_no,
  ((1 - w.weight) * p.now + w.weight * coalesce(f.expected / w.expected * w.now, 0))::FLOAT AS share,
  p.now, coalesce(f.expected / w.expected, 0)::DOUBLE AS expected
FROM present AS p
LEFT JOIN forecast AS f ON f.post_no = p.post_no
CROSS JOIN whole AS w;
