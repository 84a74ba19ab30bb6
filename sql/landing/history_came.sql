-- Question: who opened the feed since a time, and was never looked for?
-- Reads: visits (of activity.sqlite, attached as activity), fetched_viewers. Grain: one DID at most.
-- Parameters: :since_us microseconds since 1970.
SELECT v.viewer_did
FROM activity.visits AS v
WHERE v.last_us > :since_us AND v.viewer_did NOT IN (SELECT did FROM fetched_viewers)
LIMIT 1
