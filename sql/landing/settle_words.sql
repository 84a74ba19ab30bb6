-- Question: which word about a like record is the last one? The greatest rev wins, whoever reported it and when.
-- Reads: staged_words
-- Writes: like_words
-- Grain: one row per like record; hearing a word again changes nothing
-- Parameters: :commit_no (the number of this commit), :all (0: only the words that say a record is deleted, 1: all)
-- Units: as in 0002_like_words.sql

-- Of two operations in one commit, which have one rev, a stream brings the last one last; what a repository lists at
-- that rev is what they left. marks: 1 more than one word was reported, 2 the last word is of the owner's repository
-- (pipeline/store/model.py). When that lists what a stream reported of, or the other way round, the record was seen when the
-- stream saw it.
INSERT INTO like_words (rkey, liker_id, rev, author_id, post_rkey, seen_us, marks, commit_no)
SELECT rkey, liker_id, rev, author_id, post_rkey, seen_us, marks, :commit_no
FROM staged_words
WHERE :all OR author_id IS NULL
ORDER BY rkey, liker_id, rev, seen_us
ON CONFLICT (rkey, liker_id) DO UPDATE
SET (rev, author_id, post_rkey, seen_us, marks) = (
      SELECT
        max(like_words.rev, excluded.rev), iif(later, excluded.author_id, like_words.author_id),
        iif(later, excluded.post_rkey, like_words.post_rkey),
        iif(
          (like_words.marks | excluded.marks) & 2 = 2 AND (like_words.marks & excluded.marks) & 2 = 0
            AND excluded.author_id = like_words.author_id AND excluded.post_rkey = like_words.post_rkey,
          iif(excluded.marks & 2, like_words.seen_us, excluded.seen_us),
          iif(later, excluded.seen_us, like_words.seen_us)
        ),
        1 | iif(later, excluded.marks, like_words.marks)
      FROM (
        SELECT (excluded.rev, excluded.marks & 2, excluded.seen_us, excluded.author_id IS NOT NULL)
          > (like_words.rev, like_words.marks & 2, like_words.seen_us, like_words.author_id IS NOT NULL) AS later
      )
    ),
    commit_no = excluded.commit_no
WHERE excluded.rev > like_words.rev
  OR (excluded.marks & 2 = 0 AND like_words.marks & 1 = 0 AND excluded.rev < like_words.rev)
  -- listed more than once before a stream tells of it: it has the time of its key until then
  OR (
    excluded.rev < like_words.rev AND like_words.marks & 2 <> 0 AND excluded.marks & 2 = 0
    AND excluded.author_id = like_words.author_id AND excluded.post_rkey = like_words.post_rkey
    AND like_words.seen_us = like_words.rkey >> 10 AND excluded.seen_us <> like_words.seen_us
  )
  OR (
    excluded.rev = like_words.rev
    AND (
      excluded.marks & 2 > like_words.marks & 2   -- its statement makes void what the key alone dates
      OR (
        (excluded.author_id IS NOT like_words.author_id OR excluded.post_rkey IS NOT like_words.post_rkey)
        AND (
          like_words.marks & 1 = 0
          OR (excluded.marks & 2, excluded.seen_us, excluded.author_id IS NOT NULL)
            > (like_words.marks & 2, like_words.seen_us, like_words.author_id IS NOT NULL)
        )
      )
    )
  )
