-- Question: which like records were gone later, and which came more than once?
-- Reads: spooled (rows witnessed on the day), kept (rows by the day in their rkey, witnessed then or later),
--   beyond (rows witnessed on days after it that are not made)
-- Writes: arrived, undone, repeated
-- Grain: one row a like record: what came before this seq does not count
-- Parameters: day, in days since 1970
-- Units: seq is the archive's own count, rising with time; kind 1 is a like, 2 an unlike
-- 88473600000000: a day of microseconds, shifted as the time in a TID is

CREATE OR REPLACE VIEW arrived AS
SELECT seq, liker_id, rkey, author_id, post_rkey, seen_us FROM spooled WHERE kind = 1
UNION ALL
SELECT seq, liker_id, rkey, author_id, post_rkey, seen_us FROM kept
WHERE kind = 1 AND day = getvariable('day');

-- A like is witnessed on the day in its rkey or the day after, unless the rkey was of the future then.
CREATE OR REPLACE TABLE undone AS
SELECT liker_id, rkey, max(seq) AS seq
FROM (
  SELECT liker_id, rkey, seq FROM (FROM spooled UNION ALL FROM beyond) WHERE kind = 2
  UNION ALL
  SELECT liker_id, rkey, seq FROM kept
  WHERE kind = 2 AND day BETWEEN getvariable('day') - 1 AND getvariable('day')
  UNION ALL
  SELECT liker_id, rkey, seq FROM kept
  WHERE kind = 2 AND day > getvariable('day')
    AND day IN (SELECT rkey // 88473600000000 FROM spooled WHERE kind = 1 AND (rkey >> 10) > seen_us)
)
GROUP BY liker_id, rkey;

-- The archive delivers at least once. The last of several is the record as it is.
CREATE OR REPLACE TABLE repeated AS
SELECT liker_id, rkey, max(seq) AS seq
FROM arrived
GROUP BY liker_id, rkey
HAVING count(*) > 1;
