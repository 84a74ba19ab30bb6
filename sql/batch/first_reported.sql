-- Question: since when are the likers known whose repository lists likes that no stream reported?
-- Reads: claimed_likes, valid_likes
-- Writes: first_reported
-- Grain: one row per liker with such likes: a time that they chose must not make them old
-- Parameters: none
-- Units: first_us is when their first like was seen of those that a stream or an archive reported; the end of time
--   (2^63 - 1) when there is none
-- Columns: liker_id, first_us
CREATE OR REPLACE TABLE first_reported AS
WITH likers AS (
  SELECT DISTINCT liker_id FROM claimed_likes
), reported AS (
  SELECT v.liker_id, min(CASE WHEN c.rkey IS NULL THEN v.seen_us ELSE c.reported_us END) AS first_us
  FROM valid_likes AS v
  SEMI JOIN likers AS l ON l.liker_id = v.liker_id
  LEFT JOIN claimed_likes AS c ON c.liker_id = v.liker_id AND c.rkey = v.rkey
  GROUP BY v.liker_id
)
SELECT l.liker_id, coalesce(r.first_us, 9223372036854775807)::BIGINT AS first_us
FROM likers AS l
LEFT JOIN reported AS r ON r.liker_id = l.liker_id;
