-- Question: which likes of a day do later records of the batch replace? (Only after a replay, or when a record was
--   written again.)
-- Reads: staged_likes, unlikes
-- Writes: likes
-- Grain: one row per like record
-- Parameters: :day
-- Units: day is in days since 1970
UPDATE likes
SET author_id = latest.author_id, post_rkey = latest.post_rkey, seen_us = latest.seen_us, rev = latest.rev
FROM (
  SELECT rkey, liker_id, author_id, post_rkey, seen_us, max(rev) AS rev
  FROM staged_likes AS staged
  WHERE day = :day
    AND NOT EXISTS (
      SELECT 1 FROM unlikes
      WHERE unlikes.rkey = staged.rkey AND unlikes.liker_id = staged.liker_id AND unlikes.rev >= staged.rev
    )
  GROUP BY rkey, liker_id
) AS latest
WHERE likes.day = :day AND likes.rkey = latest.rkey AND likes.liker_id = latest.liker_id
  AND latest.rev > likes.rev
