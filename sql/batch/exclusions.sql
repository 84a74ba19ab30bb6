-- Question: which candidates must not be in a viewer's list?
-- Reads: list_viewers, likes, candidate_posts, feedback
-- Writes: exclusions
-- Grain: one row a (viewer, candidate post): liked already, one's own, or answered with "show less"
-- Parameters: none
-- Units: none

CREATE OR REPLACE TABLE exclusions AS
SELECT l.liker_id AS viewer_id, p.post_no
FROM likes AS l
SEMI JOIN list_viewers AS v ON v.viewer_id = l.liker_id
JOIN candidate_posts AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey
UNION
SELECT v.viewer_id, p.post_no
FROM list_viewers AS v
JOIN candidate_posts AS p ON p.author_id = v.viewer_id
UNION
SELECT f.viewer_id, f.post_no
FROM feedback AS f
SEMI JOIN list_viewers AS v ON v.viewer_id = f.viewer_id
WHERE f.event = 'requestLess';
