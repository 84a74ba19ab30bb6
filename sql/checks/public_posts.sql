-- Question: which fallback lists name a post that is withheld from who is not signed in?
-- Reads: fallbacks, candidate_posts, posts, withheld, ruled_accounts, ruled_posts
-- Writes: none
-- Grain: one row per fallback entry at fault
-- Parameters: none
-- Units: flag 128 is SIGNED_IN, cause 1 labelers (pipeline/store/model.py), which count unless the operator allows the post
SELECT DISTINCT s.language, s.position, c.author_id, c.rkey
FROM fallbacks AS s
JOIN candidate_posts AS c ON c.post_no = s.post_no
JOIN posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
LEFT JOIN withheld AS w ON w.author_id = c.author_id AND (w.rkey = c.rkey OR w.rkey < 0)
LEFT JOIN ruled_accounts AS o ON o.author_id = c.author_id
LEFT JOIN ruled_posts AS r ON r.author_id = c.author_id AND r.rkey = c.rkey
WHERE p.flags & 128 <> 0 OR w.level >= 1 AND (w.cause <> 1 OR coalesce(r.blocked, o.blocked, true));
