-- Question: which like records of the lake and of the open days stand?
-- Reads: landed_likes, unlikes, and the lake's files through lake_likes
-- Writes: like_records
-- Grain: one row a like record that was not undone
-- Parameters: lake_files, the paths of the lake's days to read
-- Units: as in inputs.sql. Of the open days nothing is undone any more: landing has deleted it

CREATE OR REPLACE VIEW like_records AS
SELECT liker_id, rkey, author_id, post_rkey, seen_us FROM landed_likes
UNION ALL
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_likes(getvariable('lake_files')) AS l
ANTI JOIN unlikes AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us;
