-- Question: which of some like records stand?
-- Reads: records, unlikes
-- Writes: like_records
-- Grain: one row a like record that was not undone, as in sql/lake/like_records.sql
-- Parameters: none
-- Units: of the open days nothing is undone any more

CREATE OR REPLACE VIEW like_records AS
SELECT r.liker_id, r.rkey, r.author_id, r.post_rkey, r.seen_us
FROM records AS r
ANTI JOIN unlikes AS u
  ON u.liker_id = r.liker_id AND u.rkey = r.rkey AND u.seen_us >= r.seen_us AND NOT r.open;
