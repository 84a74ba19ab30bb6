-- Question: what did the wanted actors like, of the days that landing.sqlite holds and the lake does not?
-- Reads: likes, temp.closed_days, temp.wanted_likers, history_likes
-- Writes: none
-- Grain: one row per like record
-- Parameters: :first_day, :first_us (its begin), :first_rkey (its smallest rkey)
-- Units: first_day is in days since 1970, _us are microseconds since 1970 (UTC)
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM likes AS l
WHERE l.day >= :first_day AND l.day NOT IN (SELECT day FROM temp.closed_days)
  AND l.liker_id IN (SELECT actor_id FROM temp.wanted_likers)
UNION ALL
SELECT h.liker_id, h.rkey, h.author_id, h.post_rkey, h.seen_us
FROM history_likes AS h
WHERE h.rkey >= :first_rkey AND h.seen_us >= :first_us
  AND h.liker_id IN (SELECT actor_id FROM temp.wanted_likers)
