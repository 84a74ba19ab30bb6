-- Question: who likes what, as far as a run needs it?
-- Reads: valid_likes
-- Writes: likes
-- Grain: one row per (liker, post); of likes older than whole_hours those of posts that were liked since
-- Parameters: snapshot_us, whole_hours
-- Units: seen_us is that of the earliest like record that counts
-- Columns: liker_id, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE likes AS
WITH alive AS (
  SELECT DISTINCT author_id, post_rkey
  FROM valid_likes
  WHERE seen_us > getvariable('snapshot_us') - (getvariable('whole_hours') * 3600000000)::BIGINT
), needed AS (
  SELECT liker_id, author_id, post_rkey, seen_us
  FROM valid_likes
  WHERE seen_us > getvariable('snapshot_us') - (getvariable('whole_hours') * 3600000000)::BIGINT
  UNION ALL
  SELECT v.liker_id, v.author_id, v.post_rkey, v.seen_us
  FROM valid_likes AS v
  SEMI JOIN alive AS a ON a.author_id = v.author_id AND a.post_rkey = v.post_rkey
  WHERE v.seen_us <= getvariable('snapshot_us') - (getvariable('whole_hours') * 3600000000)::BIGINT
)
SELECT liker_id, author_id, post_rkey, min(seen_us) AS seen_us
FROM needed
GROUP BY liker_id, author_id, post_rkey;
