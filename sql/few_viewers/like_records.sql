-- Question: which of the lake's records that were picked stand? As in sql/lake/like_records.sql.
-- Reads: lake_records, unlikes
-- Writes: nothing; returns the rows. Grain: one like record. Parameters: none

SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_records AS l
ANTI JOIN unlikes AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us
