-- Question: which viewers may lack likes here?
-- Reads: activity.visits, activity.interactions (of activity.sqlite, attached), serving.viewers (of serving.sqlite, attached), fetched_viewers,
--   actors
-- Writes: none
-- Grain: one row per DID, the first to open the feed first. When they are too many: those with a list, then those who
--   never failed, and of each kind as many of the first to come as of the last
-- Parameters: :now_us, :limit, :again_us (pause before a viewer is fetched again), :first_us (pause after one failure;
--   it doubles with each), :most_us (the longest pause), :inactive_us (pause before a viewer is fetched again whose account is
--   said to be deactivated), :lately_us (they opened the feed since, by this machine's clock)
-- Units: microseconds of the stream's clock; an outcome that begins with a number is that many failures in a row. A time
--   to come was of a clock that was wrong: its viewer is due. A host may ask for a longer pause (retry_us)
WITH visitors AS (
  SELECT viewer_did AS did, min(first_us) AS first_us, max(last_us) AS last_us
  FROM activity.visits
  GROUP BY viewer_did
), looked_at AS (
  SELECT
    did, stream_us, CAST(outcome AS INTEGER) AS failures, retry_us,
    CASE
      WHEN CAST(outcome AS INTEGER) > 0
      THEN min(:first_us << min(CAST(outcome AS INTEGER) - 1, 20), :most_us)
      WHEN reset_no > 0 THEN 0
      ELSE :again_us
    END AS pause_us
  FROM fetched_viewers
), due AS (
  SELECT v.did, v.first_us, coalesce(f.failures, 0) AS failures
  FROM visitors AS v
  LEFT JOIN looked_at AS f ON f.did = v.did
  WHERE f.did IS NULL
    OR f.stream_us + max(f.pause_us, f.retry_us) <= :now_us
    OR f.stream_us > :now_us
    OR (
      f.failures = 0 AND v.last_us > :lately_us AND f.stream_us + :inactive_us <= :now_us
      AND (SELECT a.status FROM actors AS a WHERE a.did = v.did) = 1
    )
), ranked AS (
  SELECT
    *,
    row_number() OVER (ORDER BY has_list DESC, failures > 0, first_us, did) AS from_first,
    row_number() OVER (ORDER BY has_list DESC, failures > 0, first_us DESC, did DESC) AS from_last
  FROM (SELECT *, 
    EXISTS (SELECT 1 FROM serving.viewers AS s WHERE s.did = due.did)
      -- a list of picks makes nobody known: their likes take strangers' room
      AND NOT EXISTS (SELECT 1 FROM activity.interactions AS i WHERE i.viewer_did = due.did AND i.event = 'pick') AS has_list
  FROM due)
)
SELECT
  did, failures, has_list,
  coalesce((SELECT a.status FROM actors AS a WHERE a.did = ranked.did) = 1, 0) AS certainly
FROM ranked
WHERE from_first <= (:limit + 1) / 2 OR from_last <= :limit / 2
ORDER BY first_us, did
