-- Question: what did some actors like, of what landing.sqlite holds of days without a file in the lake?
-- Reads: likes, history_likes, temp.wanted_likers, temp.closed_days. Grain: one like record.
-- Parameters: :first_day in days since 1970, and its begin as :first_us and as the smallest rkey, :first_rkey.
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM likes AS l
WHERE l.day >= :first_day AND l.day NOT IN (SELECT day FROM temp.closed_days)
  AND l.liker_id IN (SELECT actor_id FROM temp.wanted_likers)
UNION ALL
SELECT h.liker_id, h.rkey, h.author_id, h.post_rkey, h.seen_us
FROM history_likes AS h
WHERE h.rkey >= :first_rkey AND h.seen_us >= :first_us
  AND h.liker_id IN (SELECT actor_id FROM temp.wanted_likers)
