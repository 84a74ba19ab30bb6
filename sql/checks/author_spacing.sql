-- Question: which posts are too near an earlier post of their author?
-- Reads: lists, list_viewers, candidate_posts
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: none
-- Units: a viewer's author_spacing is places between the two
SELECT s.viewer_id, s.position, p.author_id
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
JOIN list_viewers AS v ON v.viewer_id = s.viewer_id
QUALIFY s.position - lag(s.position) OVER (PARTITION BY s.viewer_id, p.author_id ORDER BY s.position)
  <= v.author_spacing;
