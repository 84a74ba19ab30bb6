-- Question: which lists have as popular a post that is withheld as such?
-- Reads: lists, candidate_posts, withheld, ruled_accounts, ruled_posts
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: none
-- Units: source 2 is popular; cause 1 and level 2 as in pipeline/store/model.py
WITH withheld_posts AS (
  SELECT c.post_no
  FROM candidate_posts AS c
  JOIN withheld AS w ON w.author_id = c.author_id AND (w.rkey = c.rkey OR w.rkey < 0)
  LEFT JOIN ruled_accounts AS o ON o.author_id = c.author_id
  LEFT JOIN ruled_posts AS r ON r.author_id = c.author_id AND r.rkey = c.rkey
  WHERE w.level >= 2 AND (w.cause <> 1 OR coalesce(r.blocked, o.blocked, true))
)
SELECT s.viewer_id, s.position, s.post_no
FROM lists AS s
SEMI JOIN withheld_posts AS w ON w.post_no = s.post_no
WHERE s.source = 2;
