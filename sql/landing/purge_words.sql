-- Question: which words of a day are deleted next, since they are in the lake or too old?
-- Reads: none
-- Writes: like_words
-- Grain: one row per like record
-- Parameters: :from_rkey, :until_rkey (the day's keys), :commit_no (the last commit whose words may go), :seen_before_us,
--   :rows (about how many at most)
-- Units: seen_before_us is microseconds since 1970 (UTC)
DELETE FROM like_words
WHERE rkey >= :from_rkey AND commit_no <= :commit_no AND seen_us < :seen_before_us
  AND rkey <= (
    SELECT max(rkey)
    FROM (
      SELECT rkey FROM like_words
      WHERE rkey >= :from_rkey AND rkey < :until_rkey AND commit_no <= :commit_no AND seen_us < :seen_before_us
      ORDER BY rkey
      LIMIT :rows
    )
  )
