-- Question: of which likes does only their owner's repository tell the time?
-- Reads: landed_likes, late_words, lake_likes (of the lake's files)
-- Writes: claimed_likes
-- Grain: one row per like record
-- Parameters: lake_files (paths of the lake's likes)
-- Units: reported_us is when the stream saw the record, in microseconds since 1970 (UTC). A file of likes tells it until
--   the next merge; NULL: no stream did
-- Columns: liker_id, rkey, reported_us
CREATE OR REPLACE TABLE claimed_likes AS
WITH claimed AS (
  SELECT liker_id, rkey FROM landed_likes WHERE claimed
), late AS (
  SELECT c.liker_id, c.rkey
  FROM claimed AS c
  SEMI JOIN late_words AS w ON w.liker_id = c.liker_id AND w.rkey = c.rkey
), reported AS (
  SELECT l.liker_id, l.rkey, l.seen_us
  FROM lake_likes(getvariable('lake_files')) AS l
  SEMI JOIN late AS w ON w.liker_id = l.liker_id AND w.rkey = l.rkey
)
SELECT c.liker_id, c.rkey, r.seen_us AS reported_us
FROM claimed AS c
LEFT JOIN reported AS r ON r.liker_id = c.liker_id AND r.rkey = c.rkey;
