-- Question: who opened the feed since a time and never had their likes fetched?
-- Reads: activity.visits (of activity.sqlite, attached), fetched_viewers
-- Writes: none
-- Grain: one DID at most
-- Parameters: :since_us
-- Units: microseconds since 1970 (UTC)
SELECT v.viewer_did
FROM activity.visits AS v
WHERE v.last_us > :since_us AND v.viewer_did NOT IN (SELECT did FROM fetched_viewers WHERE fetched_us > 0)
LIMIT 1
