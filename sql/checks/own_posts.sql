-- Question: which lists name a post by their own viewer?
-- Reads: lists, candidate_posts
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: none
-- Units: none
SELECT s.viewer_id, s.position, p.author_id, p.rkey
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
WHERE p.author_id = s.viewer_id;
