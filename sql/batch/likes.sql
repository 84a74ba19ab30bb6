-- Question: who likes what, once every like that does not count is gone?
-- Reads: like_records, unlikes, actors, posts
-- Writes: likes
-- Grain: one row a (liker, post): the earliest of its live like records
-- Parameters: snapshot_us, window_hours
-- Units: _us are microseconds since 1970 (UTC)

CREATE OR REPLACE TABLE likes AS
WITH records AS (
  SELECT * FROM like_records
  WHERE seen_us > getvariable('snapshot_us') - (getvariable('window_hours') * 3600000000)::BIGINT
    AND seen_us <= getvariable('snapshot_us')
    AND liker_id <> author_id   -- a like of one's own post says nothing of taste
), inactive AS (
  SELECT actor_id FROM actors WHERE status <> 0
), deleted AS (
  SELECT author_id, rkey FROM posts WHERE seen_us <= deleted_us
)
SELECT r.liker_id, r.author_id, r.post_rkey, min(r.seen_us) AS seen_us
FROM records AS r
ANTI JOIN unlikes AS u ON u.liker_id = r.liker_id AND u.rkey = r.rkey AND u.seen_us >= r.seen_us
ANTI JOIN inactive AS a ON a.actor_id = r.liker_id
ANTI JOIN inactive AS b ON b.actor_id = r.author_id
ANTI JOIN deleted AS d ON d.author_id = r.author_id AND d.rkey = r.post_rkey
GROUP BY r.liker_id, r.author_id, r.post_rkey;
