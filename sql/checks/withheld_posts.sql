-- Question: which listed posts are withheld from everybody?
-- Reads: listed_posts, candidate_posts, withheld, ruled_accounts, ruled_posts
-- Writes: none
-- Grain: one row per post and wish
-- Parameters: none
-- Units: cause 1 is labelers, level 3 everybody (pipeline/store/model.py); labelers count unless the operator allows the post
SELECT s.post_no, c.author_id, c.rkey, w.cause
FROM listed_posts AS s
JOIN candidate_posts AS c ON c.post_no = s.post_no
JOIN withheld AS w ON w.author_id = c.author_id AND (w.rkey = c.rkey OR w.rkey < 0)
LEFT JOIN ruled_accounts AS o ON o.author_id = c.author_id
LEFT JOIN ruled_posts AS r ON r.author_id = c.author_id AND r.rkey = c.rkey
WHERE w.level >= 3 AND (w.cause <> 1 OR coalesce(r.blocked, o.blocked, true));
