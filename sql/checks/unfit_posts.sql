-- Question: which listed posts are unknown, deleted, replies, labelled adult or !hide, by an inactive author, or
--   without the wanted media?
-- Reads: listed_posts, candidate_posts, posts, actors
-- Writes: none
-- Grain: one row per post at fault
-- Parameters: media
-- Units: flags as in pipeline/store/model.py
SELECT s.post_no, c.author_id, c.rkey, p.flags, p.deleted, a.status
FROM listed_posts AS s
LEFT JOIN candidate_posts AS c ON c.post_no = s.post_no
LEFT JOIN posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
LEFT JOIN actors AS a ON a.actor_id = c.author_id
WHERE c.post_no IS NULL OR p.rkey IS NULL OR a.actor_id IS NULL
  OR p.deleted OR p.flags & 7 <> 0 OR a.status <> 0
  OR getvariable('media') <> 0 AND p.flags & getvariable('media') = 0;
