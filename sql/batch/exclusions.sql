-- Question: which candidates must not be in a viewer's list?
-- Reads: list_viewers, likes, candidate_posts, feedback, answers
-- Writes: exclusions
-- Grain: one row per (viewer, candidate post): already liked, their own, picked, answered with "show less", or by
--   an author who has several posts answered so
-- Parameters: less_author_posts
-- Units: none. Likes of the last post_max_age_hours suffice: no candidate is older
-- Columns: viewer_id, post_no
CREATE OR REPLACE TABLE exclusions AS
WITH unwanted AS (
  SELECT viewer_id, author_id
  FROM answers
  WHERE event = 'requestLess'
  GROUP BY viewer_id, author_id
  HAVING count(*) >= getvariable('less_author_posts')
)
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
WHERE f.event IN ('requestLess', 'pick')
UNION
SELECT u.viewer_id, p.post_no
FROM unwanted AS u
SEMI JOIN list_viewers AS v ON v.viewer_id = u.viewer_id
JOIN candidate_posts AS p ON p.author_id = u.author_id;
