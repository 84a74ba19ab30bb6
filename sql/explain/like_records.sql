-- Question: which of these like records are there, by the last word about each?
-- Reads: records, changes, statements
-- Writes: like_records
-- Grain: one row per like record; open ones were looked at when they were copied
-- Parameters: none
-- Units: as in sql/lake/like_records.sql
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW like_records AS
SELECT r.liker_id, r.rkey, r.author_id, r.post_rkey, r.seen_us
FROM records AS r
ANTI JOIN changes AS c ON c.liker_id = r.liker_id AND c.rkey = r.rkey AND c.rev >= r.rkey AND NOT r.open
ANTI JOIN statements AS s
  ON s.actor_id = r.liker_id AND s.rev > r.rkey AND s.from_rkey <= r.rkey AND NOT r.open;
