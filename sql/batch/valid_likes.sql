-- Question: which like records count?
-- Reads: like_records, hidden_accounts, deleted_posts
-- Writes: valid_likes
-- Grain: one row per like record; a view, of which each reader takes the part it needs
-- Parameters: snapshot_us, window_hours
-- Units: _us are microseconds since 1970 (UTC); a post's rkey tells when it was made
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW valid_likes AS
SELECT r.liker_id, r.rkey, r.author_id, r.post_rkey, r.seen_us
FROM like_records AS r
ANTI JOIN hidden_accounts AS a ON a.actor_id = r.liker_id AND a.hidden_us >= r.seen_us
ANTI JOIN hidden_accounts AS b ON b.actor_id = r.author_id AND b.hidden_us >= r.post_rkey >> 10
ANTI JOIN deleted_posts AS d ON d.author_id = r.author_id AND d.rkey = r.post_rkey
WHERE r.seen_us > getvariable('snapshot_us') - (getvariable('window_hours') * 3600000000)::BIGINT
  AND r.seen_us <= getvariable('snapshot_us')
  AND r.liker_id <> r.author_id;   -- a like of one's own post says nothing of taste
