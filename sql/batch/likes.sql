-- Question: who likes what, once every like that does not count is gone?
-- Reads: like_records, actors, posts
-- Writes: likes
-- Grain: one row a (liker, post): the earliest of its live like records
-- Parameters: snapshot_us, window_hours
-- Units: _us are microseconds since 1970 (UTC). What an account did up to its deleted_us went with it, also when
--   the account is active again; a post's rkey tells when it was made

CREATE OR REPLACE TABLE likes AS
WITH records AS (
  SELECT * FROM like_records
  WHERE seen_us > getvariable('snapshot_us') - (getvariable('window_hours') * 3600000000)::BIGINT
    AND seen_us <= getvariable('snapshot_us')
    AND liker_id <> author_id   -- a like of one's own post says nothing of taste
), inactive AS (
  SELECT actor_id FROM actors WHERE status <> 0
), departed AS (
  SELECT actor_id, deleted_us FROM actors WHERE deleted_us > 0 AND status = 0
), deleted AS (
  SELECT author_id, rkey FROM posts WHERE deleted
)
SELECT r.liker_id, r.author_id, r.post_rkey, min(r.seen_us) AS seen_us
FROM records AS r
ANTI JOIN inactive AS a ON a.actor_id = r.liker_id
ANTI JOIN inactive AS b ON b.actor_id = r.author_id
ANTI JOIN departed AS c ON c.actor_id = r.liker_id AND c.deleted_us >= r.seen_us
ANTI JOIN departed AS e ON e.actor_id = r.author_id AND e.deleted_us >= r.post_rkey >> 10
ANTI JOIN deleted AS d ON d.author_id = r.author_id AND d.rkey = r.post_rkey
GROUP BY r.liker_id, r.author_id, r.post_rkey;
