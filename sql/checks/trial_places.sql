-- Question: which lists try more posts than their share, or one that many like?
-- Reads: lists, candidate_posts
-- Writes: nothing; returns the offending rows
-- Grain: one row a list
-- Parameters: trial_share, trial_max_likers
-- Units: source 3 is a post that is tried; of the first n places at most share * n may

SELECT s.viewer_id, s.position, p.likers
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
WHERE s.source = 3
QUALIFY p.likers > getvariable('trial_max_likers')
  OR row_number() OVER (PARTITION BY s.viewer_id ORDER BY s.position)
    > s.position * getvariable('trial_share') + 1e-6;
