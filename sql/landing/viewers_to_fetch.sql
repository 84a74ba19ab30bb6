-- Question: which viewers may lack likes here?
-- Reads: activity.visits (of activity.sqlite, attached), fetched_viewers
-- Writes: none
-- Grain: one row per DID, the first to open the feed first
-- Parameters: :now_us, :limit, :again_us (pause before a viewer is fetched again), :first_us (pause after one failure;
--   it doubles with each), :most_us (the longest pause)
-- Units: microseconds of the stream's clock; an outcome that begins with a number is that many failures in a row. A time
--   to come was of a clock that was wrong: its viewer is due
WITH looked_at AS (
  SELECT
    did, stream_us, reset_no,
    CASE
      WHEN CAST(outcome AS INTEGER) > 0
      THEN min(:first_us << min(CAST(outcome AS INTEGER) - 1, 20), :most_us)
      WHEN reset_no > 0 THEN 0
      ELSE :again_us
    END AS pause_us
  FROM fetched_viewers
)
SELECT viewer_did
FROM activity.visits AS visits
LEFT JOIN looked_at ON looked_at.did = visits.viewer_did
WHERE looked_at.did IS NULL OR looked_at.stream_us + looked_at.pause_us <= :now_us OR looked_at.stream_us > :now_us
GROUP BY viewer_did
ORDER BY min(first_us), viewer_did
LIMIT :limit
