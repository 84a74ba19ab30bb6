-- Question: which of these like records does no unlike undo?
-- Reads: records, unlikes
-- Writes: like_records
-- Grain: one row per like record; in the open days landing.sqlite has already deleted the others
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW like_records AS
SELECT r.liker_id, r.rkey, r.author_id, r.post_rkey, r.seen_us
FROM records AS r
ANTI JOIN unlikes AS u
  ON u.liker_id = r.liker_id AND u.rkey = r.rkey AND u.seen_us >= r.seen_us AND NOT r.open;
