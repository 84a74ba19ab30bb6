-- Question: which fallback lists name a post that its author shows to signed-in people alone?
-- Reads: fallbacks, candidate_posts, posts
-- Writes: none
-- Grain: one row per fallback entry at fault
-- Parameters: none
-- Units: flag 128 is SIGNED_IN (pipeline/store/model.py)
SELECT s.language, s.position, c.author_id, c.rkey
FROM fallbacks AS s
JOIN candidate_posts AS c ON c.post_no = s.post_no
JOIN posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
WHERE p.flags & 128 <> 0;
