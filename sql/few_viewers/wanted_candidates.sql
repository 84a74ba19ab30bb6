-- Question: which posts can be in the lists of a few viewers, so that every like of them is needed?
-- Reads: people_records, asked_viewers, known_popular
-- Writes: wanted_posts. Grain: one post: liked by a neighbour lately, by a viewer at all, or popular
-- Parameters: snapshot_us, candidate_window_hours

CREATE OR REPLACE TABLE wanted_posts AS
SELECT author_id, post_rkey
FROM people_records
WHERE hours_before(seen_us) < getvariable('candidate_window_hours')
  OR liker_id IN (SELECT viewer_id FROM asked_viewers)
UNION
SELECT author_id, rkey FROM known_popular;
