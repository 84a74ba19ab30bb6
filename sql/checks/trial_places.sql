-- Question: which lists try more posts than their share, or a post that many like?
-- Reads: lists, candidate_posts
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: trial_share, trial_max_likers
-- Units: source 3 is trial; of the first n places at most trial_share * n may be trials
SELECT s.viewer_id, s.position, p.likers
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
WHERE s.source = 3
QUALIFY p.likers > getvariable('trial_max_likers')
  OR row_number() OVER (PARTITION BY s.viewer_id ORDER BY s.position)
    > s.position * getvariable('trial_share') + 1e-6;
