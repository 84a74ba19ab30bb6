-- Question: which of the batch's likes of a day are new, and have no later unlike?
-- Reads: staged_likes, unlikes
-- Writes: likes
-- Grain: one row per like record
-- Parameters: :day
-- Units: day is in days since 1970; 86400000000 is a day in microseconds, 60000000 a minute, CLOCK_SKEW_US
INSERT INTO likes (day, rkey, liker_id, author_id, post_rkey, seen_us, rev)
SELECT day, rkey, liker_id, author_id, post_rkey, seen_us, rev
FROM staged_likes AS staged
WHERE day = :day
  AND NOT EXISTS (   -- a replay does not bring back a like that an unlike of its rev or later undid
    SELECT 1 FROM unlikes
    WHERE unlikes.rkey = staged.rkey AND unlikes.liker_id = staged.liker_id AND unlikes.rev >= staged.rev
  )
  AND (   -- near midnight another host may have seen the same event on the day beside: it is stored once
    seen_us % 86400000000 BETWEEN 60000000 AND 86340000000
    OR NOT EXISTS (
      SELECT 1 FROM likes AS held
      WHERE held.day IN (staged.day - 1, staged.day + 1)
        AND held.rkey = staged.rkey AND held.liker_id = staged.liker_id AND held.rev = staged.rev
    )
  )
ORDER BY rkey, liker_id, rev DESC   -- inserts walk the tree once, and the latest of two with one key comes first
ON CONFLICT (day, rkey, liker_id) DO NOTHING
