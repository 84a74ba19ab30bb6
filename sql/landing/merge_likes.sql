-- Question: which of the batch's likes of a day are new and not undone?
-- Reads: staged_likes, unlikes. Writes: likes. Parameters: :day in days since 1970.
-- A like undone at its rev or later is not brought back by a replay. Near midnight another host may have seen the
-- same event on the day beside: it is kept once. Sorted, so that inserts walk the tree once and the latest of two
-- with one key comes first. 86400000000: microseconds in a day; 60000000: a minute, CLOCK_SKEW_US.
INSERT INTO likes (day, rkey, liker_id, author_id, post_rkey, seen_us, rev)
SELECT day, rkey, liker_id, author_id, post_rkey, seen_us, rev
FROM staged_likes AS staged
WHERE day = :day
  AND NOT EXISTS (
    SELECT 1 FROM unlikes
    WHERE unlikes.rkey = staged.rkey AND unlikes.liker_id = staged.liker_id AND unlikes.rev >= staged.rev
  )
  AND (
    seen_us % 86400000000 BETWEEN 60000000 AND 86340000000
    OR NOT EXISTS (
      SELECT 1 FROM likes AS held
      WHERE held.day IN (staged.day - 1, staged.day + 1)
        AND held.rkey = staged.rkey AND held.liker_id = staged.liker_id AND held.rev = staged.rev
    )
  )
ORDER BY rkey, liker_id, rev DESC
ON CONFLICT (day, rkey, liker_id) DO NOTHING
