-- Question: whose repository was replaced, or changed by more than the stream could say, and was not fetched since?
-- Reads: fetched_viewers
-- Writes: none
-- Grain: one row per DID, the longest waiting first
-- Parameters: :now_us, :limit, :first_us (pause after one failure; it doubles with each), :most_us (the longest pause)
-- Units: microseconds of the stream's clock, as in sql/landing/viewers_to_fetch.sql
SELECT did
FROM fetched_viewers
WHERE reset_no > 0
  AND (
    CAST(outcome AS INTEGER) = 0
    OR stream_us + max(min(:first_us << min(CAST(outcome AS INTEGER) - 1, 20), :most_us), retry_us) <= :now_us
    OR stream_us > :now_us
  )
ORDER BY reset_no
LIMIT :limit
