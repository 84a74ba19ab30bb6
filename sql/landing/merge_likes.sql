-- Question: which of the batch's likes are new and not undone?
-- Reads: staged_likes, unlikes. Writes: likes. A like undone at or after its time is not brought back by a
-- replay; of two with one key the later stands. Sorted, so that inserts walk the tree once.
-- 86400000000: microseconds in a day.
INSERT INTO likes (day, liker_id, rkey, author_id, post_rkey, seen_us)
SELECT seen_us / 86400000000, liker_id, rkey, author_id, post_rkey, seen_us
FROM staged_likes AS staged
WHERE NOT EXISTS (
  SELECT 1 FROM unlikes
  WHERE unlikes.liker_id = staged.liker_id AND unlikes.rkey = staged.rkey AND unlikes.seen_us >= staged.seen_us
)
ORDER BY 1, 2, 3
ON CONFLICT (day, liker_id, rkey) DO UPDATE
SET author_id = excluded.author_id, post_rkey = excluded.post_rkey, seen_us = excluded.seen_us
WHERE excluded.seen_us > likes.seen_us
