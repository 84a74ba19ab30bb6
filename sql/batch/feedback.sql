-- Question: what did viewers do with candidate posts?
-- Reads: answers, candidate_posts
-- Writes: feedback
-- Grain: one row per (viewer, candidate post, event)
-- Parameters: none
-- Units: event as in answers
-- Columns: viewer_id, post_no, event
CREATE OR REPLACE TABLE feedback AS
SELECT i.viewer_id, p.post_no, i.event
FROM answers AS i
JOIN candidate_posts AS p ON p.author_id = i.author_id AND p.rkey = i.post_rkey;
