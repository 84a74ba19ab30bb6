-- Question: who liked the wanted posts, of what the lake holds?
-- Reads: lake_likes, wanted_posts
-- Writes: lake_records
-- Grain: one row per like record, whether an unlike undoes it or not
-- Parameters: lake_files (paths of the lake's days)
-- Units: seen_us is microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE lake_records AS
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_likes(getvariable('lake_files')) AS l
SEMI JOIN wanted_posts AS w ON w.author_id = l.author_id AND w.post_rkey = l.post_rkey;
