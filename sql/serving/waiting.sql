-- Question: which viewers wait for a list: a first one, or one that knows of likes or answers of theirs that have
--   just arrived? The last to come is first.
-- Reads: viewers, lists, waiting_runs; visits, interactions of activity.sqlite attached as activity; fetched_viewers of
--   landing.sqlite attached as landing. Grain: one DID.
-- Parameters: :now_us, :since_us when they came or answered, at the earliest, :again_us after how long one for whom
--   no list could be made is tried again, :rows how many at most. Times by this machine's clock.
WITH answered AS (
  SELECT viewer_did, max(received_us) AS received_us
  FROM activity.interactions
  WHERE received_us > :since_us AND event IN ('requestLess', 'requestMore')
  GROUP BY viewer_did
), came AS (
  SELECT viewer_did, last_us FROM activity.visits WHERE last_us > :since_us
  UNION ALL
  SELECT viewer_did, received_us FROM answered
), seen AS (
  SELECT viewer_did, max(last_us) AS last_us FROM came GROUP BY viewer_did
)
SELECT s.viewer_did
FROM seen AS s
LEFT JOIN waiting_runs AS t ON t.viewer_did = s.viewer_did
LEFT JOIN answered AS a ON a.viewer_did = s.viewer_did
LEFT JOIN landing.fetched_viewers AS f ON f.did = s.viewer_did AND f.likes > 0 AND f.outcome <> 'enough'
WHERE coalesce(f.fetched_us, 0) > coalesce(t.began_us, 0)
  OR coalesce(a.received_us, 0) > coalesce(t.began_us, 0)
  OR coalesce(t.began_us, 0) < :now_us - :again_us AND NOT EXISTS (
    SELECT 1 FROM viewers AS v JOIN lists AS l ON l.viewer_id = v.viewer_id
    WHERE v.did = s.viewer_did AND l.feed_id IN (SELECT feed_id FROM feeds))
ORDER BY s.last_us DESC, s.viewer_did
LIMIT :rows
