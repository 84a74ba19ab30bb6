-- Question: which lists name a post that their viewer has liked?
-- Reads: lists, candidate_posts, likes
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: none
-- Units: none
SELECT s.viewer_id, s.position, p.author_id, p.rkey
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
SEMI JOIN likes AS l ON l.liker_id = s.viewer_id AND l.author_id = p.author_id AND l.post_rkey = p.rkey;
