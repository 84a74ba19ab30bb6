-- Question: which posts stand too near an earlier post of their author?
-- Reads: lists, candidate_posts
-- Writes: nothing; returns the offending rows
-- Grain: one row a list entry
-- Parameters: author_spacing
-- Units: places between the two

SELECT s.viewer_id, s.position, p.author_id
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
QUALIFY s.position - lag(s.position) OVER (PARTITION BY s.viewer_id, p.author_id ORDER BY s.position)
  <= getvariable('author_spacing');
