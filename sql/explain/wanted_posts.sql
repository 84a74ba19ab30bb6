-- Question: of which posts must every like be known, so that the batch's SQL computes what it computed for everybody?
-- Reads: own_records, answered_posts, explained_post, stored_lists, stored_list_posts
-- Writes: wanted_posts
-- Grain: one row per post that the viewer liked or answered, that neighbours liked lately, that is asked about, or that
--   the crowd brought into the list
-- Parameters: viewer_id, snapshot_us, candidate_window_hours
-- Units: none
-- Columns: author_id, post_rkey
CREATE OR REPLACE TABLE wanted_posts AS
SELECT author_id, post_rkey
FROM own_records
WHERE liker_id = getvariable('viewer_id') OR hours_before(seen_us) < getvariable('candidate_window_hours')
UNION
SELECT author_id, post_rkey FROM answered_posts
UNION
SELECT author_id, rkey FROM explained_post
UNION
SELECT p.author_id, p.rkey
FROM stored_lists AS l
JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
WHERE l.viewer_id = getvariable('viewer_id') AND l.source = 2;
