-- Question: which posts can be in the lists of a few viewers, so that every like of them is needed?
-- Reads: people_records, wanted_viewers, stored_popular
-- Writes: wanted_posts
-- Grain: one row per post: liked by a neighbour lately, liked by a viewer, or popular
-- Parameters: snapshot_us, candidate_window_hours
-- Units: none
-- Columns: author_id, post_rkey
CREATE OR REPLACE TABLE wanted_posts AS
SELECT author_id, post_rkey
FROM people_records
WHERE hours_before(seen_us) < getvariable('candidate_window_hours')
  OR liker_id IN (SELECT viewer_id FROM wanted_viewers)
UNION
SELECT author_id, rkey FROM stored_popular;
