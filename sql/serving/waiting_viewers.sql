-- Question: which viewers wait for a first list, or for one that knows of their newest likes or answers?
-- Reads: activity.interactions, activity.visits, landing.fetched_viewers, waiting_runs, viewers, lists, feeds
-- Writes: none
-- Grain: one row per DID, the last to come first
-- Parameters: :now_us, :since_us (the earliest visit or answer), :again_us (pause before a viewer for whom no list
--   could be made is tried again), :rows (how many at most)
-- Units: microseconds since 1970 (UTC), by this machine's clock
WITH answered AS (
  SELECT viewer_did, max(received_us) AS received_us
  FROM activity.interactions
  WHERE received_us > :since_us AND event IN ('requestLess', 'requestMore')
  GROUP BY viewer_did
), active AS (
  SELECT viewer_did, last_us FROM activity.visits WHERE last_us > :since_us
  UNION ALL
  SELECT viewer_did, received_us FROM answered
), seen AS (
  SELECT viewer_did, max(last_us) AS last_us FROM active GROUP BY viewer_did
)
SELECT s.viewer_did
FROM seen AS s
LEFT JOIN waiting_runs AS t ON t.viewer_did = s.viewer_did
LEFT JOIN answered AS a ON a.viewer_did = s.viewer_did
LEFT JOIN landing.fetched_viewers AS f ON f.did = s.viewer_did AND f.likes > 0 AND f.outcome <> 'enough'
WHERE coalesce(f.fetched_us, 0) > coalesce(t.began_us, 0) AND f.fetched_us <= :now_us   -- a time to come is wrong
  OR coalesce(a.received_us, 0) > coalesce(t.began_us, 0)
  OR coalesce(t.began_us, 0) < :now_us - :again_us AND NOT EXISTS (
    SELECT 1 FROM viewers AS v JOIN lists AS l ON l.viewer_id = v.viewer_id
    WHERE v.did = s.viewer_did AND l.feed_id IN (SELECT feed_id FROM feeds))
ORDER BY s.last_us DESC, s.viewer_did
LIMIT :rows
