-- Question: which viewers may lack likes here, who has waited longest first?
-- Reads: visits (of activity.sqlite, attached as activity), fetched_viewers. Grain: one DID.
-- Parameters: :now_us, :limit viewers at most, :again_us after how long one who was looked at is looked at again,
-- :first_us and :most_us the pause after one failure and the longest; it doubles each time. An outcome that begins
-- with a number is that many failures in a row.
WITH looked_at AS (
  SELECT
    did, fetched_us,
    CASE
      WHEN CAST(outcome AS INTEGER) > 0
      THEN min(:first_us << min(CAST(outcome AS INTEGER) - 1, 20), :most_us)
      ELSE :again_us
    END AS pause_us
  FROM fetched_viewers
)
SELECT viewer_did
FROM activity.visits AS visits
LEFT JOIN looked_at ON looked_at.did = visits.viewer_did
WHERE looked_at.did IS NULL OR looked_at.fetched_us + looked_at.pause_us <= :now_us
GROUP BY viewer_did
ORDER BY min(first_us), viewer_did
LIMIT :limit
