-- Question: what did the wanted actors like, of the days that have no file in the lake?
-- Reads: like_words, temp.wanted_likers, temp.closed_days
-- Writes: none
-- Grain: one row per like record
-- Parameters: :first_rkey (the first day's smallest key), :named_rkey (keys before it name no day)
-- Units: as in sql/landing/0002_like_words.sql
SELECT l.liker_id, l.rkey, l.rev, l.author_id, l.post_rkey, l.seen_us, l.marks
FROM like_words AS l
WHERE (l.rkey >= :first_rkey OR l.rkey < :named_rkey) AND l.author_id IS NOT NULL
  AND l.liker_id IN (SELECT actor_id FROM temp.wanted_likers)
  AND NOT EXISTS (SELECT 1 FROM temp.closed_days AS c WHERE l.rkey >= c.from_rkey AND l.rkey < c.until_rkey)
