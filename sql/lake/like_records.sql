-- Question: which like records of the lake and of the open days does no unlike undo?
-- Reads: landed_likes, unlikes, lake_likes (of the day files)
-- Writes: like_records
-- Grain: one row per like record; landing.sqlite has already deleted those of open days that an unlike undoes
-- Parameters: lake_files (paths of the lake's days)
-- Units: as in sql/batch/inputs.sql
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE VIEW like_records AS
SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM landed_likes
UNION ALL
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_likes(getvariable('lake_files')) AS l
ANTI JOIN unlikes AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us;
