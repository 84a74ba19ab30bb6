-- Question: which listed posts are unknown, deleted, replies, labelled adult or !hide, by an inactive author, blocked
--   by the operator, or without the wanted media?
-- Reads: listed_posts, candidate_posts, posts, actors, ruled_accounts, ruled_posts
-- Writes: none
-- Grain: one row per post at fault
-- Parameters: media
-- Units: flags as in pipeline/store/model.py
SELECT s.post_no, c.author_id, c.rkey, p.flags, p.deleted, a.status
FROM listed_posts AS s
LEFT JOIN candidate_posts AS c ON c.post_no = s.post_no
LEFT JOIN posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
LEFT JOIN actors AS a ON a.actor_id = c.author_id
LEFT JOIN ruled_accounts AS o ON o.author_id = c.author_id
LEFT JOIN ruled_posts AS r ON r.author_id = c.author_id AND r.rkey = c.rkey
WHERE c.post_no IS NULL OR p.rkey IS NULL OR a.actor_id IS NULL
  OR p.deleted OR p.flags & 7 <> 0 OR a.status <> 0
  OR coalesce(r.blocked, o.blocked, p.flags & 256 <> 0)
  OR getvariable('media') <> 0 AND p.flags & getvariable('media') = 0;
