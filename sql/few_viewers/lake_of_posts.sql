-- Question: who liked some posts, of what the lake holds?
-- Reads: wanted_posts, and the lake's files through lake_likes
-- Writes: lake_records. Grain: one like record, whether it was undone or not
-- Parameters: lake_files, the paths of the days to read

CREATE OR REPLACE TABLE lake_records AS
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM lake_likes(getvariable('lake_files')) AS l
SEMI JOIN wanted_posts AS w ON w.author_id = l.author_id AND w.post_rkey = l.post_rkey;
