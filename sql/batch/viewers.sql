-- Question: for whom are neighbours computed?
-- Reads: valid_likes, actors, visits
-- Writes: viewers
-- Grain: one row per active actor who liked something lately, or opened the feed
-- Parameters: snapshot_us, viewer_active_days
-- Units: none
-- Columns: viewer_id
CREATE OR REPLACE TABLE viewers AS
SELECT DISTINCT liker_id AS viewer_id
FROM valid_likes
WHERE seen_us > getvariable('snapshot_us') - (getvariable('viewer_active_days') * 86400000000)::BIGINT
UNION
SELECT a.actor_id
FROM actors AS a
SEMI JOIN visits AS v ON v.viewer_did = a.did
WHERE a.status = 0;
