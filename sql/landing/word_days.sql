-- Question: which days have words about likes here? (It takes one index seek per day.)
-- Reads: like_words
-- Writes: none
-- Grain: one row per day; -1 is that of keys that name no day
-- Parameters: none
-- Units: days since 1970; 19358 is 2023-01-01, 86400000000 microseconds to a day, 1024 to the microsecond in a TID
WITH RECURSIVE held (rkey) AS (
  SELECT min(rkey) FROM like_words
  UNION ALL
  SELECT (
    SELECT min(rkey) FROM like_words
    WHERE like_words.rkey >= max(19358, (held.rkey >> 10) / 86400000000 + 1) * 86400000000 * 1024
  )
  FROM held WHERE held.rkey IS NOT NULL
)
SELECT iif(rkey < 19358 * 86400000000 * 1024, -1, (rkey >> 10) / 86400000000) AS day
FROM held WHERE rkey IS NOT NULL
