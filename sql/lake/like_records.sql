-- Question: which like records are there, by the last word about each?
-- Reads: landed_likes, lake_likes (of the lake's files), changes, statements
-- Writes: like_records
-- Grain: one row per like record
-- Parameters: lake_files (paths of the lake's likes)
-- Units: as in sql/batch/inputs.sql
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW like_records AS
SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM landed_likes
UNION ALL
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_likes(getvariable('lake_files')) AS l
ANTI JOIN changes AS c ON c.liker_id = l.liker_id AND c.rkey = l.rkey AND c.rev >= l.rkey
ANTI JOIN statements AS s ON s.actor_id = l.liker_id AND s.rev > l.rkey AND s.from_rkey <= l.rkey;
