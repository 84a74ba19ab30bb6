-- Question: which posts did somebody like lately?
-- Reads: valid_likes
-- Writes: alive_posts
-- Grain: one row per post that was liked within whole_hours
-- Parameters: snapshot_us, whole_hours
-- Units: an rkey tells when the post was made
-- Columns: author_id, post_rkey
CREATE OR REPLACE TABLE alive_posts AS
SELECT DISTINCT author_id, post_rkey
FROM valid_likes
WHERE seen_us > getvariable('snapshot_us') - (getvariable('whole_hours') * 3600000000)::BIGINT;
